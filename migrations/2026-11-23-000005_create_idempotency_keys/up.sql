-- Answers by Idempotency-Key, written in the same commit as what they answer for.

CREATE TABLE idempotency_keys (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    key text NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
    method text NOT NULL,
    path text NOT NULL,
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    response_body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key, method, path)
);
CREATE INDEX idempotency_keys_created_idx ON idempotency_keys (created_at);
COMMENT ON TABLE idempotency_keys IS 'The first answer to a request with an Idempotency-Key, kept for 24 hours';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of the request body: the same key with another body is a conflict';
COMMENT ON COLUMN idempotency_keys.response_body IS 'Set before the commit that makes the row visible; null only inside that transaction';
