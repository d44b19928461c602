-- The queue: one narrow row per unfinished delivery, and the dispatchers that work on it.

CREATE TABLE dispatchers (
    id uuid PRIMARY KEY,
    hostname text NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE dispatchers IS 'One row per running dispatcher; gone when it has stopped cleanly';
COMMENT ON COLUMN dispatchers.heartbeat_at IS 'Database time of its last sign of life; peers free the leases of one that is silent';

CREATE TABLE delivery_queue (
    tenant_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    event_id uuid NOT NULL,
    attempt_id uuid NOT NULL,
    attempt_number integer NOT NULL CHECK (attempt_number >= 1),
    payload_bytes integer NOT NULL CHECK (payload_bytes >= 0),
    express boolean NOT NULL DEFAULT false,
    due_at timestamptz,
    lease_token uuid,
    leased_by uuid,
    leased_at timestamptz,
    PRIMARY KEY (tenant_id, delivery_id),
    CHECK ((lease_token IS NULL) = (leased_by IS NULL) AND (lease_token IS NULL) = (leased_at IS NULL)),
    CHECK (lease_token IS NULL OR due_at IS NOT NULL)
) WITH (
    -- Every row is inserted, leased and deleted within seconds: vacuum early, on absolute numbers, and without pauses.
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.0,
    autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_analyze_scale_factor = 0.0,
    autovacuum_analyze_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX delivery_queue_ready_idx ON delivery_queue (tenant_id, endpoint_id, delivery_id)
    WHERE due_at IS NULL AND NOT express;
CREATE INDEX delivery_queue_express_idx ON delivery_queue (delivery_id) WHERE due_at IS NULL AND express;
CREATE INDEX delivery_queue_waiting_idx ON delivery_queue (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_queue_kept_idx ON delivery_queue (tenant_id, endpoint_id, delivery_id)
    WHERE due_at IS NOT NULL AND lease_token IS NULL;
COMMENT ON TABLE delivery_queue IS
    'One row per unfinished delivery. Its row lock is the delivery''s lock: whoever changes an unfinished delivery holds it. No foreign keys: they would cost time on the hottest path and tie the queue to the history';
COMMENT ON COLUMN delivery_queue.due_at IS
    'null: ready now; else not before: the next retry, the end of a lease, or infinity while the endpoint is disabled';
COMMENT ON COLUMN delivery_queue.express IS 'Somebody waits for the next attempt: claimed before everything else';
COMMENT ON COLUMN delivery_queue.payload_bytes IS 'Size of the payload, so that a claim can bound the bytes in flight';
COMMENT ON COLUMN delivery_queue.lease_token IS 'Random per claim; every later write of the claimer names it';
