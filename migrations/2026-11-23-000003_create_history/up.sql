-- Events, deliveries and attempts: the history, partitioned by range of its UUIDv7 ids, which is by time.
-- The partitions themselves are made ahead by both programs (reprise_core::store::partitions). There is no default
-- partition and no foreign key among these three: either would forbid dropping a partition when retention has passed.

CREATE TABLE events (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    event_type text NOT NULL CHECK (octet_length(event_type) BETWEEN 1 AND 128),
    event_group text,
    payload bytea NOT NULL CHECK (octet_length(payload) <= 1048576),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (id);
COMMENT ON TABLE events IS 'An immutable published fact';
COMMENT ON COLUMN events.payload IS 'JSON, byte for byte as published: jsonb would reorder keys and refuse \u0000';

CREATE TABLE deliveries (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    event_id uuid NOT NULL,
    user_id bigint NOT NULL,
    event_type text NOT NULL,
    event_group text,
    status text NOT NULL
        CHECK (status IN ('pending', 'retrying', 'delivered', 'failed', 'canceled', 'skipped')),
    attempt_count integer NOT NULL DEFAULT 0 CHECK (attempt_count >= 0),
    attempt_id uuid NOT NULL,
    attempt_enqueued_at timestamptz NOT NULL DEFAULT now(),
    first_delivery_id uuid NOT NULL,
    replay_of_delivery_id uuid,
    next_retry_at timestamptz,
    last_attempt_at timestamptz,
    delivered_at timestamptz,
    final_http_status integer CHECK (final_http_status BETWEEN 100 AND 999),
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES endpoints (tenant_id, id),
    CHECK ((status = 'delivered') = (delivered_at IS NOT NULL)),
    CHECK ((status = 'retrying') = (next_retry_at IS NOT NULL)),
    CHECK (final_http_status IS NULL OR status NOT IN ('pending', 'retrying')),
    CHECK ((replay_of_delivery_id IS NULL) = (first_delivery_id = id))
) PARTITION BY RANGE (id);
CREATE INDEX deliveries_endpoint_idx ON deliveries (tenant_id, endpoint_id, id);
CREATE INDEX deliveries_type_idx ON deliveries (tenant_id, event_type, id);
CREATE INDEX deliveries_undelivered_idx ON deliveries (tenant_id, status, id) WHERE status <> 'delivered';
CREATE INDEX deliveries_replays_idx ON deliveries (tenant_id, first_delivery_id, id)
    WHERE replay_of_delivery_id IS NOT NULL;
COMMENT ON TABLE deliveries IS 'The duty to bring one event to one endpoint; terminal rows never move';
COMMENT ON COLUMN deliveries.status IS 'Stored state; "delivering" is not stored but read from a live lease in delivery_queue';
COMMENT ON COLUMN deliveries.event_type IS 'Copied from the event, as event_group is, so that a delivery outlives its payload';
COMMENT ON COLUMN deliveries.attempt_id IS 'The attempt that is next or was last: its id is made when it is scheduled';
COMMENT ON COLUMN deliveries.attempt_enqueued_at IS 'When that attempt was queued';
COMMENT ON COLUMN deliveries.first_delivery_id IS 'The first delivery of this event to this endpoint, itself unless this is a replay; the stable id of the /hooks family';
COMMENT ON COLUMN deliveries.replay_of_delivery_id IS 'The delivery that someone asked to replay';
COMMENT ON COLUMN deliveries.error_message IS 'Why the last attempt failed, or why the delivery ended without being delivered';

CREATE TABLE attempts (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    number integer NOT NULL CHECK (number >= 1),
    started_at timestamptz NOT NULL,
    duration_ms integer CHECK (duration_ms >= 0),
    request_headers jsonb,
    response_status integer CHECK (response_status BETWEEN 100 AND 999),
    response_headers jsonb,
    response_body bytea CHECK (octet_length(response_body) <= 16384),
    response_body_truncated boolean NOT NULL DEFAULT false,
    error_kind text,
    error_message text,
    remote_ip text,
    dispatcher_id uuid,
    PRIMARY KEY (tenant_id, id),
    CHECK ((error_kind IS NULL) = (error_message IS NULL)),
    CHECK ((error_kind IS NOT DISTINCT FROM 'lost') = (duration_ms IS NULL))
) PARTITION BY RANGE (id);
CREATE INDEX attempts_delivery_idx ON attempts (tenant_id, delivery_id, id);
COMMENT ON TABLE attempts IS 'One HTTP request made for a delivery, recorded together with the state that followed from it';
COMMENT ON COLUMN attempts.duration_ms IS 'Until the response had been read or the attempt had failed; null when a dispatcher died over it';
COMMENT ON COLUMN attempts.error_kind IS 'null on success, else a stable word such as timeout, connect, http_status, lost';
COMMENT ON COLUMN attempts.response_body IS 'At most its first 16 KiB';
