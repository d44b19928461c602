-- Stores events of several tenants with their deliveries and queue rows in one commit. Left out are the tenants whose
-- endpoints are no longer those that the deliveries were made from; one row says of each tenant whether it is unchanged.
--
-- Events and deliveries name their tenant by its place among $1, and what a delivery copies of its event comes with it:
-- looking up either among hundreds of others would cost their product. The endpoint is looked up by its tenant and id, since
-- no foreign key does: one that is not the tenant's is null, which fails the statement.
--
-- $1, $2 tenants, each once, and the endpoints_version that was matched against
-- $3..$7 events: tenant, id, type, group, payload
-- $8..$16 deliveries: tenant, id, event, endpoint, first attempt, whether to send (else skipped), the event's type, group
-- and payload size
-- $17, $18 the channel on which dispatchers are told, and what (null: nothing)
WITH tenant AS MATERIALIZED (
    SELECT coalesce(array_agg(found.id IS NOT NULL ORDER BY matched.place), '{}') AS are_unchanged
    FROM unnest($1::uuid[], $2::int8[]) WITH ORDINALITY AS matched (id, endpoints_version, place)
    LEFT JOIN LATERAL (
        SELECT id FROM tenants WHERE id = matched.id AND endpoints_version = matched.endpoints_version LIMIT 1
    ) found ON true
),
delivery AS MATERIALIZED (
    SELECT delivery.*, ($1::uuid[])[delivery.place] AS tenant_id, endpoint.id AS endpoint_id, endpoint.user_id
    FROM unnest($8::int4[], $9::uuid[], $10::uuid[], $11::uuid[], $12::uuid[], $13::bool[], $14::text[], $15::text[],
                $16::int4[])
        AS delivery (place, id, event_id, wanting_id, attempt_id, is_sent, event_type, event_group, payload_bytes)
    LEFT JOIN LATERAL (
        SELECT id, user_id FROM endpoints
        WHERE tenant_id = ($1::uuid[])[delivery.place] AND id = delivery.wanting_id LIMIT 1
    ) endpoint ON true
    WHERE (SELECT are_unchanged FROM tenant)[delivery.place]
),
stored_event AS (
    INSERT INTO events (tenant_id, id, event_type, event_group, payload)
    SELECT ($1::uuid[])[place], id, event_type, event_group, payload
    FROM unnest($3::int4[], $4::uuid[], $5::text[], $6::text[], $7::bytea[])
        AS event (place, id, event_type, event_group, payload)
    WHERE (SELECT are_unchanged FROM tenant)[place]
),
stored_delivery AS (
    INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, user_id, event_type, event_group, status,
                            unsuccessful_status, attempt_id, first_delivery_id)
    SELECT tenant_id, id, endpoint_id, event_id, user_id, event_type, event_group,
           CASE WHEN is_sent THEN 'pending' ELSE 'skipped' END, CASE WHEN NOT is_sent THEN 'skipped' END, attempt_id, id
    FROM delivery
),
queued AS (
    INSERT INTO delivery_queue (tenant_id, delivery_id, endpoint_id, event_id, attempt_id, attempt_number,
                                payload_bytes)
    SELECT tenant_id, id, endpoint_id, event_id, attempt_id, 1, payload_bytes
    FROM delivery
    WHERE is_sent
)
-- Of notifications in one commit that say the same PostgreSQL sends one, and none of a commit that stores nothing.
SELECT are_unchanged, now() AS created_at,
       CASE WHEN $18::text IS NOT NULL AND true = ANY (are_unchanged) THEN pg_notify($17, $18) END
FROM tenant
