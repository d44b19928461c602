-- The states that follow from attempts, of deliveries whose queue rows the transaction has changed.
-- $1 tenants, $2 deliveries, $3 statuses, $4 attempt numbers, $5 next attempts' ids, $6 starts of the attempts,
-- $7 milliseconds until the next attempt (null: none), $8 receivers' answers, $9 errors.
UPDATE deliveries
SET status = finished.status,
    attempt_count = finished.attempt_number,
    attempt_id = CASE WHEN finished.retry_after_ms IS NULL THEN deliveries.attempt_id ELSE finished.next_attempt_id END,
    attempt_enqueued_at = CASE WHEN finished.retry_after_ms IS NULL THEN deliveries.attempt_enqueued_at ELSE now() END,
    next_retry_at = now() + finished.retry_after_ms * interval '1 millisecond',
    last_attempt_at = finished.started_at,
    delivered_at = CASE WHEN finished.status = 'delivered' THEN now() END,
    final_http_status = CASE WHEN finished.retry_after_ms IS NULL THEN finished.http_status END,
    error_message = finished.error_message,
    updated_at = now()
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int4[], $5::uuid[], $6::timestamptz[], $7::int8[], $8::int4[],
            $9::text[])
    AS finished (tenant_id, delivery_id, status, attempt_number, next_attempt_id, started_at, retry_after_ms,
                 http_status, error_message)
WHERE deliveries.tenant_id = finished.tenant_id AND deliveries.id = finished.delivery_id
