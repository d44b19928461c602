-- Tenants, their users and the API keys of those: who may call.

CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    endpoints_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tenants IS 'An account; it owns everything that carries its tenant_id';
COMMENT ON COLUMN tenants.endpoints_version IS
    'Counts changes of the tenant''s endpoints; publishing names the version it matched against, so that a stale cache can never lose a delivery';

CREATE TABLE users (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    username text NOT NULL UNIQUE CHECK (length(username) BETWEEN 1 AND 255),
    password_hash text NOT NULL,
    password_version integer NOT NULL DEFAULT 1,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE users IS 'A person or service of a tenant, with a password';
COMMENT ON COLUMN users.id IS 'An integer, since the contract''s user_id is one; unique over all tenants';
COMMENT ON COLUMN users.password_hash IS 'Argon2id, in PHC string format';
COMMENT ON COLUMN users.password_version IS 'Tokens name it: a changed password ends the tokens made before';

CREATE TABLE api_keys (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id bigint NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    prefix text NOT NULL UNIQUE,
    key_hash bytea NOT NULL CHECK (octet_length(key_hash) = 32),
    scopes text[] NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX api_keys_user_idx ON api_keys (tenant_id, user_id);
COMMENT ON TABLE api_keys IS 'Secrets for the X-API-Key header; shown once, kept as a hash';
COMMENT ON COLUMN api_keys.prefix IS 'The part of the key that finds the row; no secret';
COMMENT ON COLUMN api_keys.key_hash IS 'SHA-256 of the whole key: 256 random bits need no slow hash';
