DROP INDEX delivery_queue_express_idx;
CREATE INDEX delivery_queue_express_idx ON delivery_queue (delivery_id) WHERE due_at IS NULL AND express;
ALTER TABLE delivery_queue DROP COLUMN replay_of_delivery_id;
