-- Ends leases that are still held by their token: without a further attempt the row goes, else it waits for the next.
-- $1 tenants, $2 deliveries, $3 tokens, $4 milliseconds until the next attempt (null: none), $5 next attempts' ids.
WITH finished AS (
    SELECT *
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int8[], $5::uuid[])
        AS finished (tenant_id, delivery_id, lease_token, retry_after_ms, next_attempt_id)
),
ended AS (
    DELETE FROM delivery_queue q
    USING finished
    WHERE q.tenant_id = finished.tenant_id AND q.delivery_id = finished.delivery_id
      AND q.lease_token = finished.lease_token AND finished.retry_after_ms IS NULL
    RETURNING finished.lease_token
),
rescheduled AS (
    UPDATE delivery_queue q
    SET attempt_id = finished.next_attempt_id,
        attempt_number = q.attempt_number + 1,
        -- now(), as in change_deliveries.sql: the two show the same instant. A retry at once is ready at once.
        due_at = CASE WHEN finished.retry_after_ms > 0
                      THEN now() + finished.retry_after_ms * interval '1 millisecond' END,
        express = false, lease_token = NULL, leased_by = NULL, leased_at = NULL
    FROM finished
    WHERE q.tenant_id = finished.tenant_id AND q.delivery_id = finished.delivery_id
      AND q.lease_token = finished.lease_token AND finished.retry_after_ms IS NOT NULL
    RETURNING finished.lease_token
)
SELECT lease_token FROM ended
UNION ALL
SELECT lease_token FROM rescheduled
