ALTER TABLE delivery_queue DROP COLUMN ready_at;
