-- Stores events of several tenants with their deliveries and queue rows in one commit. Left out are the tenants whose
-- endpoints are no longer those that the deliveries were made from; one row comes back for each of the others.
--
-- What a delivery copies of its event comes with it: looking it up among thousands of events would cost their product.
--
-- $1, $2 tenants, each once, and the endpoints_version that was matched against
-- $3..$7 events: tenant, id, type, group, payload
-- $8..$17 deliveries: tenant, id, event, endpoint, owner, first attempt, whether to send (else skipped), the event's
-- type, group and payload size
-- $18, $19 the channel on which dispatchers are told, and what (null: nothing)
WITH unchanged AS MATERIALIZED (
    SELECT tenants.id
    FROM unnest($1::uuid[], $2::int8[]) AS matched (id, endpoints_version)
    JOIN tenants ON tenants.id = matched.id AND tenants.endpoints_version = matched.endpoints_version
),
delivery AS MATERIALIZED (
    SELECT delivery.*
    FROM unnest($8::uuid[], $9::uuid[], $10::uuid[], $11::uuid[], $12::int8[], $13::uuid[], $14::bool[], $15::text[],
                $16::text[], $17::int4[])
        AS delivery (tenant_id, id, event_id, endpoint_id, user_id, attempt_id, is_sent, event_type, event_group,
                     payload_bytes)
    JOIN unchanged ON unchanged.id = delivery.tenant_id
),
stored_event AS (
    INSERT INTO events (tenant_id, id, event_type, event_group, payload)
    SELECT event.*
    FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::bytea[])
        AS event (tenant_id, id, event_type, event_group, payload)
    JOIN unchanged ON unchanged.id = event.tenant_id
),
stored_delivery AS (
    INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, user_id, event_type, event_group, status,
                            attempt_id, first_delivery_id)
    SELECT tenant_id, id, endpoint_id, event_id, user_id, event_type, event_group,
           CASE WHEN is_sent THEN 'pending' ELSE 'skipped' END, attempt_id, id
    FROM delivery
),
queued AS (
    INSERT INTO delivery_queue (tenant_id, delivery_id, endpoint_id, event_id, attempt_id, attempt_number,
                                payload_bytes)
    SELECT tenant_id, id, endpoint_id, event_id, attempt_id, 1, payload_bytes
    FROM delivery
    WHERE is_sent
)
-- Of notifications in one commit that say the same PostgreSQL sends one.
SELECT id AS tenant_id, now() AS created_at, CASE WHEN $19::text IS NOT NULL THEN pg_notify($18, $19) END FROM unchanged
