-- $1 endpoints at most  $2 ready deliveries of each at most. Hops over delivery_queue_ready_idx from endpoint to endpoint.
WITH RECURSIVE
hop AS (
    (SELECT '00000000-0000-0000-0000-000000000000'::uuid AS tenant_id,
            '00000000-0000-0000-0000-000000000000'::uuid AS endpoint_id, 0 AS hop)
    UNION ALL
    SELECT next.tenant_id, next.endpoint_id, hop.hop + 1
    FROM hop, LATERAL (
        SELECT q.tenant_id, q.endpoint_id
        FROM delivery_queue q
        WHERE q.due_at IS NULL AND NOT q.express
          AND (q.tenant_id, q.endpoint_id) > (hop.tenant_id, hop.endpoint_id)
        ORDER BY q.tenant_id, q.endpoint_id, q.delivery_id LIMIT 1
    ) next
    WHERE hop.hop < $1
),
oldest AS (
    SELECT first.delivery_id, first.ready_at,
           CASE WHEN endpoints.circuit_opened_at IS NOT NULL THEN 'circuit'
                WHEN endpoints.rate_limit_per_second IS NOT NULL OR endpoints.max_in_flight IS NOT NULL THEN 'limit'
                ELSE 'nothing' END AS held_by
    FROM hop
    CROSS JOIN LATERAL (
        SELECT * FROM endpoints WHERE tenant_id = hop.tenant_id AND id = hop.endpoint_id LIMIT 1
    ) endpoints
    CROSS JOIN LATERAL (
        SELECT q.delivery_id, q.ready_at
        FROM delivery_queue q
        WHERE q.due_at IS NULL AND NOT q.express
          AND q.tenant_id = hop.tenant_id
          AND q.endpoint_id >= hop.endpoint_id AND q.endpoint_id <= hop.endpoint_id
        ORDER BY q.tenant_id, q.endpoint_id, q.delivery_id
        LIMIT $2
    ) first
    WHERE hop.hop > 0 AND endpoints.status = 'enabled'
)
-- There is no min() of uuids; as text they have the same order.
SELECT held_by, clock_timestamp() AS now,
       (min(delivery_id::text) FILTER (WHERE ready_at IS NULL))::uuid AS oldest_id,
       min(ready_at) AS oldest_ready_at
FROM oldest
GROUP BY held_by
