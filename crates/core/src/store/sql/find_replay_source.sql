-- A delivery ($1, $2) with its lease, its endpoint and whether the payload is there, in one snapshot. All by primary keys.
SELECT deliveries.*,
       coalesce(queued.lease_token IS NOT NULL AND queued.due_at > now(), false) AS is_leased,
       endpoints.status AS endpoint_status,
       endpoints.disabled_reason,
       octet_length(events.payload) AS payload_bytes
FROM deliveries
JOIN endpoints ON endpoints.tenant_id = $1 AND endpoints.id = deliveries.endpoint_id
LEFT JOIN delivery_queue queued ON queued.tenant_id = $1 AND queued.delivery_id = $2
LEFT JOIN events ON events.tenant_id = $1 AND events.id = deliveries.event_id
WHERE deliveries.tenant_id = $1 AND deliveries.id = $2
