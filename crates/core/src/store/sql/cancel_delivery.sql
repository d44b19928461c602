-- Cancels a delivery ($1, $2) with a reason ($3), unless it is leased. A claim that is under way holds the row's lock:
-- this waits for it, looks again, and finds the lease. A lease that has expired counts too, until it has been closed as
-- a lost attempt.
--
-- The attempt that it was waiting for is never made: it shows the one that was last, if there was one.
WITH ended AS (
    DELETE FROM delivery_queue
    WHERE tenant_id = $1 AND delivery_id = $2 AND lease_token IS NULL
    RETURNING tenant_id, delivery_id
)
UPDATE deliveries
SET status = 'canceled', unsuccessful_status = 'canceled', next_retry_at = NULL, updated_at = now(), error_message = $3,
    attempt_id = coalesce(last.id, deliveries.attempt_id),
    attempt_enqueued_at = coalesce(last.queued_at, deliveries.attempt_enqueued_at)
FROM ended
LEFT JOIN LATERAL (
    -- An attempt's id is made when it is queued, and begins with the milliseconds of that instant.
    SELECT id, to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::int8 / 1000.0) AS queued_at
    FROM (
        -- In the order of all the index's columns, so that the planner has one way to go.
        SELECT id, number
        FROM attempts
        WHERE tenant_id = $1 AND delivery_id >= ended.delivery_id AND delivery_id <= ended.delivery_id
        ORDER BY tenant_id, delivery_id, id
    ) of_delivery
    ORDER BY number DESC
    LIMIT 1
) last ON true
-- Both from the same row: with the tenant as a parameter a plan may look by that alone.
WHERE deliveries.tenant_id = $1 AND deliveries.id = $2
RETURNING deliveries.*
