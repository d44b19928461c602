-- Makes the replay of a delivery ($1, $2), of this endpoint ($3) where one is named, with its queue row; an express one
-- ($6) wakes a dispatcher ($7). No row where the rules forbid it, which are those of ReplaySource::check. All by primary
-- keys.
WITH source AS MATERIALIZED (
    SELECT deliveries.*, octet_length(events.payload) AS payload_bytes
    FROM deliveries
    JOIN endpoints ON endpoints.tenant_id = $1 AND endpoints.id = deliveries.endpoint_id
    JOIN events ON events.tenant_id = $1 AND events.id = deliveries.event_id
    LEFT JOIN delivery_queue queued ON queued.tenant_id = $1 AND queued.delivery_id = $2
    WHERE deliveries.tenant_id = $1 AND deliveries.id = $2
      AND deliveries.endpoint_id = coalesce($3, deliveries.endpoint_id)
      AND deliveries.status <> 'pending'
      AND NOT (deliveries.status = 'retrying' AND queued.lease_token IS NOT NULL AND queued.due_at > now())
      AND endpoints.status = 'enabled'
),
queued AS (
    INSERT INTO delivery_queue (tenant_id, delivery_id, endpoint_id, event_id, attempt_id, attempt_number,
                                payload_bytes, replay_of_delivery_id, express)
    SELECT tenant_id, $4, endpoint_id, event_id, $5, 1, payload_bytes, id, $6 FROM source
),
replay AS (
    INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, user_id, event_type, event_group, status,
                            attempt_id, first_delivery_id, replay_of_delivery_id)
    SELECT tenant_id, $4, endpoint_id, event_id, user_id, event_type, event_group, 'pending',
           $5, first_delivery_id, id
    FROM source
    RETURNING *
)
SELECT replay.*, CASE WHEN $6 THEN pg_notify($7, '') END FROM replay
