-- $1 tenants, $2 deliveries, $3 events, in step.
SELECT deliveries.id AS delivery_id, deliveries.event_type, deliveries.replay_of_delivery_id, events.payload
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS claim (tenant_id, delivery_id, event_id)
JOIN deliveries ON deliveries.tenant_id = claim.tenant_id AND deliveries.id = claim.delivery_id
LEFT JOIN events ON events.tenant_id = claim.tenant_id AND events.id = claim.event_id
