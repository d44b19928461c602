-- A lookup by key in a plan that was made while there were few endpoints took endpoints_user_idx, which knows the tenant too
-- and was younger than the primary key: later it would read all endpoints of a tenant for each that it looks for. An index
-- that does not begin with the tenant is not taken.

SET LOCAL lock_timeout = '5s';
DROP INDEX endpoints_user_idx;
CREATE INDEX endpoints_user_idx ON endpoints (user_id, tenant_id);
