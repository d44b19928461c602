-- Cancels a delivery ($1, $2) with a reason ($3), unless it is leased. A claim that is under way holds the row's lock:
-- this waits for it, looks again, and finds the lease. A lease that has expired counts too, until it has been closed as
-- a lost attempt.
WITH ended AS (
    DELETE FROM delivery_queue
    WHERE tenant_id = $1 AND delivery_id = $2 AND lease_token IS NULL
    RETURNING delivery_id
)
UPDATE deliveries
SET status = 'canceled', next_retry_at = NULL, updated_at = now(), error_message = $3
FROM ended
WHERE deliveries.tenant_id = $1 AND deliveries.id = ended.delivery_id
RETURNING deliveries.*
