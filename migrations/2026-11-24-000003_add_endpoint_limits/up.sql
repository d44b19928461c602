-- Limits of an endpoint that hold over all dispatchers.

SET LOCAL lock_timeout = '5s';
ALTER TABLE endpoints
    ADD COLUMN rate_limit_per_second integer CHECK (rate_limit_per_second BETWEEN 1 AND 10000),
    ADD COLUMN max_in_flight integer CHECK (max_in_flight BETWEEN 1 AND 1000);
COMMENT ON COLUMN endpoints.rate_limit_per_second IS 'Attempts begun in a second at most, over all dispatchers; null: any number';
COMMENT ON COLUMN endpoints.max_in_flight IS 'Attempts under way at once at most, over all dispatchers; null: any number';

CREATE TABLE endpoint_limits (
    tenant_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    next_slot_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (tenant_id, endpoint_id),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES endpoints (tenant_id, id)
) WITH (fillfactor = 50);
COMMENT ON TABLE endpoint_limits IS
    'One row per endpoint that has, or once had, a limit. Its row lock is the right to claim for that endpoint';
COMMENT ON COLUMN endpoint_limits.next_slot_at IS 'When the rate lets the next attempt begin';

ALTER TABLE delivery_queue ADD COLUMN limited boolean NOT NULL DEFAULT false;
CREATE INDEX delivery_queue_limited_idx ON delivery_queue (tenant_id, endpoint_id)
    WHERE lease_token IS NOT NULL AND limited;
COMMENT ON COLUMN delivery_queue.limited IS
    'Whether its endpoint had a limit when it was leased: only such leases are counted, so that others cost no index';
