-- $1 tenant, $2 endpoint, $3 rows at most.
WITH kept AS MATERIALIZED (
    SELECT tenant_id, delivery_id FROM delivery_queue
    WHERE due_at = 'infinity' AND lease_token IS NULL AND tenant_id = $1 AND endpoint_id = $2
    LIMIT $3 FOR UPDATE SKIP LOCKED
),
ready AS (
    UPDATE delivery_queue q
    SET due_at = NULL, ready_at = now()
    FROM kept
    -- Any of one: see record_attempts.sql.
    WHERE q.tenant_id = ANY (ARRAY[kept.tenant_id]) AND q.delivery_id = kept.delivery_id
    RETURNING 1
)
SELECT count(*) AS moved FROM ready
