-- $1 tenants, $2 events, in step.
SELECT events.id AS event_id, events.event_type, events.payload
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (tenant_id, event_id)
JOIN events ON events.tenant_id = wanted.tenant_id AND events.id = wanted.event_id
