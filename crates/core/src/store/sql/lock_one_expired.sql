-- As lock_expired.sql, of one delivery ($1, $2).
SELECT q.tenant_id, q.delivery_id, q.endpoint_id, endpoints.version AS endpoint_version, q.attempt_id, q.attempt_number,
       q.express, q.lease_token, q.leased_by, q.leased_at, endpoints.max_retries, endpoints.retry_schedule,
       deliveries.event_type
FROM delivery_queue q
JOIN endpoints ON endpoints.tenant_id = q.tenant_id AND endpoints.id = q.endpoint_id
-- One lookup each, as in make_replay.sql.
LEFT JOIN LATERAL (
    SELECT event_type FROM deliveries WHERE tenant_id = q.tenant_id AND id = q.delivery_id LIMIT 1
) deliveries ON true
WHERE q.tenant_id = $1 AND q.delivery_id = $2 AND q.due_at <= now() AND q.lease_token IS NOT NULL
FOR UPDATE OF q
