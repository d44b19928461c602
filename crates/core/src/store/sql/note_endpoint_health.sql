-- $1 tenants, $2 endpoints, $3 whether the last attempt succeeded, $4 whether one was answered with 410. Locks, in the
-- order of the keys, what it writes and also what the transaction is going to disable for that 410: locked later, that
-- would be out of the order.
WITH noted AS MATERIALIZED (
    SELECT endpoints.tenant_id, endpoints.id, outcome.succeeded
    FROM unnest($1::uuid[], $2::uuid[], $3::bool[], $4::bool[]) AS outcome (tenant_id, id, succeeded, is_gone)
    JOIN endpoints ON endpoints.tenant_id = outcome.tenant_id AND endpoints.id = outcome.id
    WHERE CASE WHEN outcome.succeeded
               THEN endpoints.failing_since IS NOT NULL OR endpoints.last_success_at IS NULL
                    OR endpoints.last_success_at < now() - interval '10 seconds'
               ELSE endpoints.failing_since IS NULL END
       OR (outcome.is_gone AND endpoints.status = 'enabled')
    ORDER BY endpoints.tenant_id, endpoints.id
    FOR NO KEY UPDATE OF endpoints
)
UPDATE endpoints
SET failing_since = CASE WHEN noted.succeeded THEN NULL ELSE coalesce(endpoints.failing_since, now()) END,
    last_success_at = CASE WHEN noted.succeeded THEN now() ELSE endpoints.last_success_at END
FROM noted
WHERE endpoints.tenant_id = noted.tenant_id AND endpoints.id = noted.id
