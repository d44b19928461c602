-- Endpoints: where deliveries go, how they are signed and retried.

CREATE TABLE endpoints (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    user_id bigint NOT NULL,
    url text NOT NULL CHECK (octet_length(url) BETWEEN 1 AND 2048),
    description text CHECK (length(description) <= 1000),
    event_patterns text[] NOT NULL CHECK (cardinality(event_patterns) >= 1),
    timeout_seconds integer NOT NULL CHECK (timeout_seconds BETWEEN 1 AND 60),
    max_retries integer CHECK (max_retries BETWEEN 0 AND 50),
    retry_schedule jsonb,
    custom_headers_sealed bytea NOT NULL,
    secret_sealed bytea NOT NULL,
    secret_hint text NOT NULL,
    signature_scheme text NOT NULL CHECK (signature_scheme IN ('standard', 'timestamped', 'body')),
    signature_header text,
    signature_prefix text,
    version bigint NOT NULL DEFAULT 1,
    status text NOT NULL DEFAULT 'enabled' CHECK (status IN ('enabled', 'disabled', 'deleted')),
    disabled_reason text,
    unsettled_since timestamptz,
    failing_since timestamptz,
    last_success_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id),
    CHECK ((status = 'disabled') = (disabled_reason IS NOT NULL)),
    CHECK ((signature_scheme = 'standard') = (signature_header IS NULL))
);
CREATE INDEX endpoints_user_idx ON endpoints (tenant_id, user_id);
CREATE INDEX endpoints_unsettled_idx ON endpoints (unsettled_since) WHERE unsettled_since IS NOT NULL;
COMMENT ON TABLE endpoints IS 'A receiver''s URL, with its secret and the event patterns it wants; rows are never removed, so that history stays readable';
COMMENT ON COLUMN endpoints.retry_schedule IS 'null: the default schedule; "exponential"; or an array of delays in seconds';
COMMENT ON COLUMN endpoints.custom_headers_sealed IS 'JSON object of header names and values, encrypted: they may carry credentials';
COMMENT ON COLUMN endpoints.secret_sealed IS 'The signing secret, encrypted with REPRISE_SECRET_KEY';
COMMENT ON COLUMN endpoints.version IS 'Counts changes of what a dispatcher caches: URL, secret, headers, timeout, policy';
COMMENT ON COLUMN endpoints.unsettled_since IS
    'When the status changed, as long as the queue may still hold rows that do not fit it; the dispatchers'' maintenance clears it';
COMMENT ON COLUMN endpoints.failing_since IS 'The first failed attempt since the last success';
