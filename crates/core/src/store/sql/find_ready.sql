-- Finds endpoints with ready deliveries: hops from tenant to tenant, and in each from endpoint to endpoint, by one probe of
-- delivery_queue_ready_idx per hop, whatever the backlog. What the caller knows already is hopped over without a probe:
-- before an endpoint's first ready row lie the dead entries of all that it was sent since the last vacuum.
--
-- $1 tenant to start after  $2, $3 for the tenants not walked to their end: the endpoint to start after
-- $4, $5 known endpoints, sorted: the next one is found in them by width_bucket, which counts those up to a value by bisection
-- $6 tenants at most, $7 endpoints at most of each
--
-- The order by all columns of the index leaves the planner no other way to go.
WITH RECURSIVE
tenant_hop AS (
    (SELECT $1::uuid AS tenant_id, 0 AS hop)
    UNION ALL
    SELECT coalesce(found.tenant_id, known_next.tenant_id), tenant_hop.hop + 1
    FROM tenant_hop
    CROSS JOIN LATERAL (
        SELECT ($4::uuid[])[width_bucket(tenant_hop.tenant_id, $4::uuid[]) + 1] AS tenant_id
    ) known_next
    LEFT JOIN LATERAL (
        SELECT q.tenant_id
        FROM delivery_queue q
        WHERE q.due_at IS NULL AND NOT q.express AND q.tenant_id > tenant_hop.tenant_id
          AND q.tenant_id < coalesce(known_next.tenant_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        ORDER BY q.tenant_id, q.endpoint_id, q.delivery_id LIMIT 1
    ) found ON true
    WHERE tenant_hop.hop < $6 AND coalesce(found.tenant_id, known_next.tenant_id) IS NOT NULL
),
walked AS MATERIALIZED (
    SELECT tenant_hop.tenant_id, walk.endpoint_id, walk.is_found, walk.hop
    FROM tenant_hop
    LEFT JOIN unnest($2::uuid[], $3::uuid[]) AS resume (tenant_id, endpoint_id)
        ON resume.tenant_id = tenant_hop.tenant_id
    CROSS JOIN LATERAL (
        WITH RECURSIVE known AS MATERIALIZED (
            SELECT ($5::uuid[])[array_position($4::uuid[], tenant_hop.tenant_id)
                                : width_bucket(tenant_hop.tenant_id, $4::uuid[])] AS endpoint_ids
        ),
        endpoint_hop AS (
            (SELECT coalesce(resume.endpoint_id, '00000000-0000-0000-0000-000000000000') AS endpoint_id,
                    false AS is_found, 0 AS hop)
            UNION ALL
            SELECT coalesce(found.endpoint_id, known_next.endpoint_id), found.endpoint_id IS NOT NULL,
                   endpoint_hop.hop + 1
            FROM endpoint_hop
            CROSS JOIN LATERAL (
                SELECT known.endpoint_ids[width_bucket(endpoint_hop.endpoint_id, known.endpoint_ids) + 1] AS endpoint_id
                FROM known
            ) known_next
            LEFT JOIN LATERAL (
                SELECT q.endpoint_id
                FROM delivery_queue q
                WHERE q.due_at IS NULL AND NOT q.express AND q.tenant_id = tenant_hop.tenant_id
                  AND q.endpoint_id > endpoint_hop.endpoint_id
                  AND q.endpoint_id < coalesce(known_next.endpoint_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
                ORDER BY q.tenant_id, q.endpoint_id, q.delivery_id LIMIT 1
            ) found ON true
            WHERE endpoint_hop.hop < $7 AND coalesce(found.endpoint_id, known_next.endpoint_id) IS NOT NULL
        )
        SELECT endpoint_id, is_found, hop FROM endpoint_hop WHERE hop > 0
    ) walk
    WHERE tenant_hop.hop > 0
)
-- Where the walk went: per tenant visited, whether it was the last one that the walk may visit, and the endpoint to go on
-- after if that one was.
SELECT tenant_hop.tenant_id,
       tenant_hop.hop = $6 AS is_last_hop,
       (SELECT walked.endpoint_id FROM walked WHERE walked.tenant_id = tenant_hop.tenant_id AND walked.hop = $7)
           AS resume_after,
       NULL::uuid AS endpoint_id, false AS has_limit
FROM tenant_hop
WHERE hop > 0
UNION ALL
-- What it found.
SELECT walked.tenant_id, false, NULL, walked.endpoint_id,
       endpoints.rate_limit_per_second IS NOT NULL OR endpoints.max_in_flight IS NOT NULL
           OR endpoints.circuit_opened_at IS NOT NULL
FROM walked
-- One lookup each: joined, the planner may read all of a tenant's endpoints.
CROSS JOIN LATERAL (
    SELECT * FROM endpoints WHERE tenant_id = walked.tenant_id AND id = walked.endpoint_id LIMIT 1
) endpoints
WHERE walked.is_found AND endpoints.status = 'enabled'
