-- What decides whether a delivery ($1, $2) can be replayed, in one snapshot: where it stands, its endpoint, and whether the
-- payload is there. All by primary keys.
--
-- Where an endpoint is named ($3), a request of B's family is: one and the same whichever of its deliveries' ids stands for
-- it, so its first delivery decides. One that retention has dropped is over; its payload went with it, or before.
SELECT coalesce(judged.status, deliveries.status) AS status,
       coalesce(queued.lease_token IS NOT NULL AND queued.due_at > now(), false) AS is_leased,
       endpoints.status AS endpoint_status,
       endpoints.disabled_reason,
       octet_length(events.payload) AS payload_bytes
FROM deliveries
JOIN endpoints ON endpoints.tenant_id = $1 AND endpoints.id = deliveries.endpoint_id
-- One lookup each, as in make_replay.sql.
LEFT JOIN LATERAL (
    SELECT id, status FROM deliveries judged
    WHERE judged.tenant_id = $1
      AND judged.id = CASE WHEN $3 IS NULL THEN deliveries.id ELSE deliveries.first_delivery_id END
    LIMIT 1
) judged ON true
LEFT JOIN LATERAL (
    SELECT lease_token, due_at FROM delivery_queue WHERE tenant_id = $1 AND delivery_id = judged.id LIMIT 1
) queued ON true
LEFT JOIN LATERAL (
    SELECT payload FROM events WHERE tenant_id = $1 AND id = deliveries.event_id LIMIT 1
) events ON true
WHERE deliveries.tenant_id = $1 AND deliveries.id = $2 AND deliveries.endpoint_id = coalesce($3, deliveries.endpoint_id)
