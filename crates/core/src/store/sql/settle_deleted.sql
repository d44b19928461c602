-- $1 tenant, $2 endpoint, $3 rows at most of each kind. One select per partial index.
WITH ready AS MATERIALIZED (
    SELECT tenant_id, delivery_id FROM delivery_queue
    WHERE due_at IS NULL AND NOT express AND tenant_id = $1 AND endpoint_id = $2
    LIMIT $3 FOR UPDATE SKIP LOCKED
),
express AS MATERIALIZED (
    SELECT tenant_id, delivery_id FROM delivery_queue
    WHERE due_at IS NULL AND express AND tenant_id = $1 AND endpoint_id = $2
    LIMIT $3 FOR UPDATE SKIP LOCKED
),
kept AS MATERIALIZED (
    SELECT tenant_id, delivery_id FROM delivery_queue
    WHERE due_at IS NOT NULL AND lease_token IS NULL AND tenant_id = $1 AND endpoint_id = $2
    LIMIT $3 FOR UPDATE SKIP LOCKED
),
ended AS (
    DELETE FROM delivery_queue q
    USING (SELECT * FROM ready UNION ALL SELECT * FROM express UNION ALL SELECT * FROM kept) found
    -- Any of one: see record_attempts.sql.
    WHERE q.tenant_id = ANY (ARRAY[found.tenant_id]) AND q.delivery_id = found.delivery_id
    RETURNING q.tenant_id, q.delivery_id
),
canceled AS (
    UPDATE deliveries
    SET status = 'canceled', unsuccessful_status = 'canceled', next_retry_at = NULL, updated_at = now(),
        error_message = 'The endpoint was deleted',
        -- As in cancel_delivery.sql.
        attempt_id = coalesce(last.id, deliveries.attempt_id),
        attempt_enqueued_at = coalesce(last.queued_at, deliveries.attempt_enqueued_at)
    FROM ended
    LEFT JOIN LATERAL (
        SELECT id, to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::int8 / 1000.0) AS queued_at
        FROM (
            -- In the order of all the index's columns, so that the planner has one way to go.
            SELECT id, number
            FROM attempts
            WHERE tenant_id = ended.tenant_id AND delivery_id >= ended.delivery_id
              AND delivery_id <= ended.delivery_id
            ORDER BY tenant_id, delivery_id, id
        ) of_delivery
        ORDER BY number DESC
        LIMIT 1
    ) last ON true
    WHERE deliveries.tenant_id = ANY (ARRAY[ended.tenant_id]) AND deliveries.id = ended.delivery_id
)
SELECT count(*) AS moved FROM ended
