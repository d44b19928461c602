-- How long what is ready has waited tells whether the dispatchers keep up. Of a first attempt the delivery's id tells it; of
-- a retry nothing did, since its delivery may be days old.

SET LOCAL lock_timeout = '5s';
ALTER TABLE delivery_queue ADD COLUMN ready_at timestamptz;
COMMENT ON COLUMN delivery_queue.ready_at IS
    'When it last became ready, having waited; null: ready since it was made, which its id tells';
