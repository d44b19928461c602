-- Makes the replay of a delivery ($1, $2), or, where an endpoint is named ($3), of what it is a delivery of, with its queue
-- row; an express one ($6) wakes a dispatcher ($7). No row where the rules forbid it, which are those of
-- ReplaySource::check; what they look at is explained in find_replay_source.sql. All by primary keys.
WITH source AS MATERIALIZED (
    SELECT deliveries.*, octet_length(events.payload) AS payload_bytes
    FROM deliveries
    JOIN endpoints ON endpoints.tenant_id = $1 AND endpoints.id = deliveries.endpoint_id
    -- One lookup each: joined, the planner may read all that the tenant has, and does after a vacuum among few rows.
    CROSS JOIN LATERAL (
        SELECT payload FROM events WHERE tenant_id = $1 AND id = deliveries.event_id LIMIT 1
    ) events
    CROSS JOIN LATERAL (
        SELECT id, status FROM deliveries judged
        WHERE judged.tenant_id = $1
          AND judged.id = CASE WHEN $3 IS NULL THEN deliveries.id ELSE deliveries.first_delivery_id END
        LIMIT 1
    ) judged
    LEFT JOIN LATERAL (
        SELECT lease_token, due_at FROM delivery_queue WHERE tenant_id = $1 AND delivery_id = judged.id LIMIT 1
    ) queued ON true
    WHERE deliveries.tenant_id = $1 AND deliveries.id = $2
      AND deliveries.endpoint_id = coalesce($3, deliveries.endpoint_id)
      AND judged.status <> 'pending'
      AND NOT (judged.status = 'retrying' AND queued.lease_token IS NOT NULL AND queued.due_at > now())
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
