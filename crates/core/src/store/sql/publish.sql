-- Stores events of several tenants with their deliveries and queue rows in one commit. Left out are the tenants whose
-- endpoints are no longer those that the deliveries were made from; one row says of each tenant whether it is unchanged.
--
-- Events and deliveries name their tenant by its place among $1, and what a delivery copies of its event comes with it:
-- looking up either among hundreds of others would cost their product.
--
-- $1, $2 tenants, each once, and the endpoints_version that was matched against
-- $3..$7 events: tenant, id, type, group, payload
-- $8..$17 deliveries: tenant, id, event, endpoint, owner, first attempt, whether to send (else skipped), the event's
-- type, group and payload size
-- $18, $19 the channel on which dispatchers are told, and what (null: nothing)
WITH tenant AS MATERIALIZED (
    SELECT coalesce(array_agg(found.id IS NOT NULL ORDER BY matched.place), '{}') AS are_unchanged
    FROM unnest($1::uuid[], $2::int8[]) WITH ORDINALITY AS matched (id, endpoints_version, place)
    LEFT JOIN LATERAL (
        SELECT id FROM tenants WHERE id = matched.id AND endpoints_version = matched.endpoints_version LIMIT 1
    ) found ON true
),
delivery AS MATERIALIZED (
    SELECT ($1::uuid[])[place] AS tenant_id, delivery.*
    FROM unnest($8::int4[], $9::uuid[], $10::uuid[], $11::uuid[], $12::int8[], $13::uuid[], $14::bool[], $15::text[],
                $16::text[], $17::int4[])
        AS delivery (place, id, event_id, endpoint_id, user_id, attempt_id, is_sent, event_type, event_group,
                     payload_bytes)
    WHERE (SELECT are_unchanged FROM tenant)[place]
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
       CASE WHEN $19::text IS NOT NULL AND true = ANY (are_unchanged) THEN pg_notify($18, $19) END
FROM tenant
