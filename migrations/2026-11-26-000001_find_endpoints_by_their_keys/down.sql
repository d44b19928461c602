SET LOCAL lock_timeout = '5s';
DROP INDEX endpoints_user_idx;
CREATE INDEX endpoints_user_idx ON endpoints (tenant_id, user_id);
