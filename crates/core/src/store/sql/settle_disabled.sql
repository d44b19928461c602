-- $1 tenant, $2 endpoint, $3 rows at most of each kind. Retries that wait are held back when they become due.
WITH ready AS MATERIALIZED (
    SELECT tenant_id, delivery_id FROM delivery_queue
    WHERE due_at IS NULL AND NOT express AND tenant_id = $1 AND endpoint_id = $2
    LIMIT $3 FOR UPDATE SKIP LOCKED
),
express AS MATERIALIZED (
    SELECT tenant_id, delivery_id FROM delivery_queue
    WHERE due_at IS NULL AND express AND tenant_id = $1 AND endpoint_id = $2
    LIMIT $3 FOR UPDATE SKIP LOCKED
),
kept_back AS (
    UPDATE delivery_queue q
    -- Whoever waited for it has given up by the time it goes on.
    SET due_at = 'infinity', express = false
    FROM (SELECT * FROM ready UNION ALL SELECT * FROM express) found
    -- Any of one: see record_attempts.sql.
    WHERE q.tenant_id = ANY (ARRAY[found.tenant_id]) AND q.delivery_id = found.delivery_id
    RETURNING 1
)
SELECT count(*) AS moved FROM kept_back
