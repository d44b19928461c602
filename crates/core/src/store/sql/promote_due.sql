-- $1 rows at most. A retry of an endpoint that is not enabled waits until settling brings it back.
WITH due AS MATERIALIZED (
    SELECT tenant_id, delivery_id, endpoint_id
    FROM delivery_queue
    WHERE due_at <= now() AND lease_token IS NULL
    ORDER BY due_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
UPDATE delivery_queue q
SET due_at = CASE WHEN endpoints.status = 'enabled' THEN NULL ELSE 'infinity'::timestamptz END,
    ready_at = now()
FROM due
JOIN endpoints ON endpoints.tenant_id = due.tenant_id AND endpoints.id = due.endpoint_id
-- Any of one: see record_attempts.sql.
WHERE q.tenant_id = ANY (ARRAY[due.tenant_id]) AND q.delivery_id = due.delivery_id
