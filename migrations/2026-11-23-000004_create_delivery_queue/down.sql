DROP TABLE delivery_queue;
DROP TABLE dispatchers;
