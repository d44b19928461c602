-- Stores an event with one delivery, to one endpoint whatever that has subscribed to and ahead of everything else, if it
-- is enabled. One row comes back if there is such an endpoint.
--
-- $1 tenant  $2 endpoint  $3 event  $4 type  $5 payload  $6 delivery  $7 attempt  $8 channel of the dispatchers
WITH endpoint AS MATERIALIZED (
    SELECT user_id, url, status FROM endpoints WHERE tenant_id = $1 AND id = $2
),
enabled AS (
    SELECT user_id FROM endpoint WHERE status = 'enabled'
),
event AS (
    INSERT INTO events (tenant_id, id, event_type, payload) SELECT $1, $3, $4, $5 FROM enabled
),
queued AS (
    INSERT INTO delivery_queue (tenant_id, delivery_id, endpoint_id, event_id, attempt_id, attempt_number,
                                payload_bytes, express)
    SELECT $1, $6, $2, $3, $7, 1, octet_length($5), true FROM enabled
),
delivery AS (
    INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, user_id, event_type, status, attempt_id,
                            first_delivery_id)
    SELECT $1, $6, $2, $3, user_id, $4, 'pending', $7, $6 FROM enabled
    RETURNING created_at
)
SELECT endpoint.user_id, endpoint.url, delivery.created_at,
       CASE WHEN delivery.created_at IS NOT NULL THEN pg_notify($8, '') END
FROM endpoint LEFT JOIN delivery ON true
