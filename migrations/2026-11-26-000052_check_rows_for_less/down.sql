SET LOCAL lock_timeout = '5s';
ALTER TABLE deliveries
    DROP CONSTRAINT deliveries_status_check,
    DROP CONSTRAINT deliveries_one_status_check,
    DROP CONSTRAINT deliveries_final_http_status_check,
    -- With its indexes.
    DROP COLUMN unsuccessful_status;
ALTER TABLE deliveries RENAME CONSTRAINT deliveries_first_delivery_check TO deliveries_check3;
ALTER TABLE deliveries
    ALTER COLUMN attempt_count TYPE integer,
    ALTER COLUMN final_http_status TYPE integer,
    ADD CONSTRAINT deliveries_attempt_count_check CHECK (attempt_count >= 0),
    ADD CONSTRAINT deliveries_final_http_status_check CHECK (final_http_status BETWEEN 100 AND 999),
    ADD CONSTRAINT deliveries_status_check
        CHECK (status IN ('pending', 'retrying', 'delivered', 'failed', 'canceled', 'skipped')),
    ADD CONSTRAINT deliveries_check CHECK ((status = 'delivered') = (delivered_at IS NOT NULL)),
    ADD CONSTRAINT deliveries_check1 CHECK ((status = 'retrying') = (next_retry_at IS NOT NULL)),
    ADD CONSTRAINT deliveries_check2 CHECK (final_http_status IS NULL OR status NOT IN ('pending', 'retrying')),
    ADD COLUMN unsuccessful_status text
        GENERATED ALWAYS AS (CASE WHEN status IN ('failed', 'canceled', 'skipped') THEN status END) STORED;
CREATE INDEX deliveries_unsuccessful_idx ON deliveries (tenant_id, unsuccessful_status, id)
    WHERE unsuccessful_status IS NOT NULL;
CREATE INDEX deliveries_endpoint_unsuccessful_idx ON deliveries (tenant_id, endpoint_id, unsuccessful_status, id)
    WHERE unsuccessful_status IS NOT NULL;
COMMENT ON COLUMN deliveries.unsuccessful_status IS
    'The status, if it is one that a delivery ends in without success: the others are in no index, so that they can change in place';
-- Last, see 2026-11-25-000010.
ALTER TABLE deliveries DROP CONSTRAINT deliveries_pkey;
ALTER TABLE deliveries ADD PRIMARY KEY (tenant_id, id);

ALTER TABLE attempts
    ALTER COLUMN number TYPE integer,
    ALTER COLUMN duration_ms TYPE integer,
    ALTER COLUMN response_status TYPE integer,
    ALTER COLUMN response_body TYPE bytea,
    ADD CONSTRAINT attempts_number_check CHECK (number >= 1),
    ADD CONSTRAINT attempts_duration_ms_check CHECK (duration_ms >= 0),
    ADD CONSTRAINT attempts_response_status_check CHECK (response_status BETWEEN 100 AND 999),
    ADD CONSTRAINT attempts_response_body_check CHECK (octet_length(response_body) <= 16384);

ALTER TABLE events
    ALTER COLUMN event_type TYPE text,
    ALTER COLUMN payload TYPE bytea,
    ADD CONSTRAINT events_event_type_check CHECK (octet_length(event_type) BETWEEN 1 AND 128),
    ADD CONSTRAINT events_payload_check CHECK (octet_length(payload) <= 1048576);

DROP DOMAIN event_type, event_payload, response_body, http_status, attempt_number, non_negative, unsuccessful_status;
