-- Deleted endpoints and revoked keys stay, so that history stays readable; lists and limits need not read past them for
-- ever. Not CONCURRENTLY: these tables are small, and who migrates elsewhere waits with a snapshot that it would wait for.

SET LOCAL lock_timeout = '5s';
CREATE INDEX endpoints_present_idx ON endpoints (tenant_id, id) WHERE status <> 'deleted';
CREATE INDEX api_keys_live_idx ON api_keys (tenant_id, id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_live_user_idx ON api_keys (tenant_id, user_id) WHERE revoked_at IS NULL;
