-- Stores events of one tenant with their deliveries and queue rows, all or nothing, unless the tenant's endpoints are
-- no longer those that the deliveries were made from: then nothing is stored and no row comes back.
--
-- $1 tenant  $2 endpoints_version that was matched against
-- $3..$6 events: id, type, group, payload
-- $7..$12 deliveries: id, event, endpoint, owner, first attempt, whether to send (else skipped)
WITH unchanged AS MATERIALIZED (
    SELECT FROM tenants WHERE id = $1 AND endpoints_version = $2
),
event AS MATERIALIZED (
    SELECT event.*
    FROM unchanged, unnest($3::uuid[], $4::text[], $5::text[], $6::bytea[])
        AS event (id, event_type, event_group, payload)
),
delivery AS MATERIALIZED (
    SELECT delivery.*, event.event_type, event.event_group, octet_length(event.payload) AS payload_bytes
    FROM unnest($7::uuid[], $8::uuid[], $9::uuid[], $10::int8[], $11::uuid[], $12::bool[])
        AS delivery (id, event_id, endpoint_id, user_id, attempt_id, is_sent)
    JOIN event ON event.id = delivery.event_id
),
stored_delivery AS (
    INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, user_id, event_type, event_group, status,
                            attempt_id, first_delivery_id)
    SELECT $1, id, endpoint_id, event_id, user_id, event_type, event_group,
           CASE WHEN is_sent THEN 'pending' ELSE 'skipped' END, attempt_id, id
    FROM delivery
),
queued AS (
    INSERT INTO delivery_queue (tenant_id, delivery_id, endpoint_id, event_id, attempt_id, attempt_number,
                                payload_bytes)
    SELECT $1, id, endpoint_id, event_id, attempt_id, 1, payload_bytes
    FROM delivery
    WHERE is_sent
)
INSERT INTO events (tenant_id, id, event_type, event_group, payload)
SELECT $1, id, event_type, event_group, payload FROM event
RETURNING id, created_at
