-- Makes a replay and its queue row, unless the endpoint ($3) is no longer enabled. An express one ($12)
-- wakes a dispatcher ($13).
WITH enabled AS MATERIALIZED (
    SELECT FROM endpoints WHERE tenant_id = $1 AND id = $3 AND status = 'enabled'
),
queued AS (
    INSERT INTO delivery_queue (tenant_id, delivery_id, endpoint_id, event_id, attempt_id, attempt_number,
                                payload_bytes, replay_of_delivery_id, express)
    SELECT $1, $2, $3, $4, $8, 1, $11, $10, $12 FROM enabled
),
replay AS (
    INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, user_id, event_type, event_group, status,
                            attempt_id, first_delivery_id, replay_of_delivery_id)
    SELECT $1, $2, $3, $4, $5, $6, $7, 'pending', $8, $9, $10 FROM enabled
    RETURNING created_at
)
SELECT created_at, CASE WHEN $12 THEN pg_notify($13, '') END FROM replay
