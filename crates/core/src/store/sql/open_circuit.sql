-- $1 tenant  $2 endpoint  $3 its version  $4 milliseconds without a success  $5 milliseconds to be open
WITH dead AS (
    UPDATE endpoints
    SET circuit_opened_at = now()
    WHERE tenant_id = $1 AND id = $2 AND version = $3 AND status = 'enabled' AND circuit_opened_at IS NULL
      AND failing_since <= now() - $4 * interval '1 millisecond'
    RETURNING tenant_id, id
)
INSERT INTO endpoint_limits (tenant_id, endpoint_id, circuit_open_until, circuit_openings)
SELECT tenant_id, id, now() + $5 * interval '1 millisecond', 1
FROM dead
ON CONFLICT (tenant_id, endpoint_id) DO UPDATE
SET circuit_open_until = excluded.circuit_open_until, circuit_openings = 1, circuit_closing_since = NULL
