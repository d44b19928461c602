-- $1 milliseconds of closing. Those that have had nothing to try with for an hour are closed too: the next event shall not
-- find a circuit of long ago. Endpoints are locked before their limits, as everywhere; of those that were opened again
-- since this statement began nothing is changed.
WITH over AS MATERIALIZED (
    SELECT endpoints.tenant_id, endpoints.id
    FROM endpoint_limits limits
    JOIN endpoints ON endpoints.tenant_id = limits.tenant_id AND endpoints.id = limits.endpoint_id
    WHERE limits.circuit_open_until <= now() - $1 * interval '1 millisecond'
      AND (limits.circuit_closing_since <= now() - $1 * interval '1 millisecond'
           OR (limits.circuit_open_until <= now() - interval '1 hour' AND NOT EXISTS (
                   SELECT FROM delivery_queue q
                   WHERE q.due_at IS NULL AND NOT q.express
                     AND q.tenant_id = limits.tenant_id AND q.endpoint_id = limits.endpoint_id)))
    ORDER BY endpoints.tenant_id, endpoints.id
    FOR NO KEY UPDATE OF endpoints SKIP LOCKED
),
closed AS (
    UPDATE endpoint_limits limits
    SET circuit_open_until = NULL, circuit_openings = 0, circuit_closing_since = NULL
    FROM over
    WHERE limits.tenant_id = over.tenant_id AND limits.endpoint_id = over.id
      AND limits.circuit_open_until <= now() - $1 * interval '1 millisecond'
    RETURNING limits.tenant_id, limits.endpoint_id
)
UPDATE endpoints
SET circuit_opened_at = NULL
FROM closed
WHERE endpoints.tenant_id = closed.tenant_id AND endpoints.id = closed.endpoint_id
