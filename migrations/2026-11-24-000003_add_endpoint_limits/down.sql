DROP INDEX delivery_queue_limited_idx;
ALTER TABLE delivery_queue DROP COLUMN limited;
DROP TABLE endpoint_limits;
ALTER TABLE endpoints
    DROP COLUMN max_in_flight,
    DROP COLUMN rate_limit_per_second;
