-- What a receiver is told of a replay stands with its claim, so that sending reads no delivery. And what is express is found
-- tenant by tenant and endpoint by endpoint, however much of it one of them has.

SET LOCAL lock_timeout = '5s';
ALTER TABLE delivery_queue ADD COLUMN replay_of_delivery_id uuid;
COMMENT ON COLUMN delivery_queue.replay_of_delivery_id IS 'The delivery that this one replays, if it is a replay';
UPDATE delivery_queue
SET replay_of_delivery_id = deliveries.replay_of_delivery_id
FROM deliveries
WHERE deliveries.tenant_id = delivery_queue.tenant_id AND deliveries.id = delivery_queue.delivery_id
  AND deliveries.replay_of_delivery_id IS NOT NULL;

DROP INDEX delivery_queue_express_idx;
CREATE INDEX delivery_queue_express_idx ON delivery_queue (tenant_id, endpoint_id, delivery_id)
    WHERE due_at IS NULL AND express;
