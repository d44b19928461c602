-- Takes express deliveries: of each tenant a few at a time, the oldest first, whatever their endpoints have in flight. Hops
-- over delivery_queue_express_idx from tenant to tenant and endpoint to endpoint, so that nobody's many cost the others.
--
-- $1 rows at most, $2 this dispatcher, $3 lease margin in milliseconds,
-- $4 in flight at most per tenant, $5, $6 what is in flight here, by tenant
-- $7 tenants at most, $8 endpoints at most, of each tenant, $9 the token of the leases
WITH RECURSIVE
unsynced AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS setting),
tenant_hop AS (
    (SELECT '00000000-0000-0000-0000-000000000000'::uuid AS tenant_id, 0 AS hop)
    UNION ALL
    SELECT next.tenant_id, tenant_hop.hop + 1
    FROM tenant_hop, LATERAL (
        SELECT q.tenant_id
        FROM delivery_queue q
        WHERE q.due_at IS NULL AND q.express AND q.tenant_id > tenant_hop.tenant_id
        ORDER BY q.tenant_id, q.endpoint_id, q.delivery_id LIMIT 1
    ) next
    WHERE tenant_hop.hop < $7
),
endpoint AS MATERIALIZED (
    SELECT tenant_hop.tenant_id, walk.endpoint_id, endpoints.timeout_seconds, endpoints.version AS endpoint_version,
           endpoints.rate_limit_per_second IS NOT NULL OR endpoints.max_in_flight IS NOT NULL
               OR endpoints.circuit_opened_at IS NOT NULL AS has_limit,
           coalesce(busy.in_flight, 0) AS in_flight
    FROM tenant_hop
    LEFT JOIN unnest($5::uuid[], $6::int4[]) AS busy (tenant_id, in_flight) ON busy.tenant_id = tenant_hop.tenant_id
    CROSS JOIN LATERAL (
        WITH RECURSIVE endpoint_hop AS (
            (SELECT '00000000-0000-0000-0000-000000000000'::uuid AS endpoint_id, 0 AS hop)
            UNION ALL
            SELECT next.endpoint_id, endpoint_hop.hop + 1
            FROM endpoint_hop, LATERAL (
                SELECT q.endpoint_id
                FROM delivery_queue q
                WHERE q.due_at IS NULL AND q.express AND q.tenant_id = tenant_hop.tenant_id
                  AND q.endpoint_id > endpoint_hop.endpoint_id
                ORDER BY q.tenant_id, q.endpoint_id, q.delivery_id LIMIT 1
            ) next
            WHERE endpoint_hop.hop < $8
        )
        SELECT endpoint_id FROM endpoint_hop WHERE hop > 0
    ) walk
    -- One lookup each: joined, the planner may read all of a tenant's endpoints.
    CROSS JOIN LATERAL (
        SELECT * FROM endpoints WHERE tenant_id = tenant_hop.tenant_id AND id = walk.endpoint_id LIMIT 1
    ) endpoints
    WHERE tenant_hop.hop > 0 AND endpoints.status = 'enabled'
),
-- Only what may be taken here has a turn: what waits for an endpoint's limit keeps nobody else waiting.
in_turn AS MATERIALIZED (
    SELECT endpoint.*, oldest.delivery_id,
           endpoint.in_flight + row_number() OVER (PARTITION BY endpoint.tenant_id ORDER BY oldest.delivery_id) AS turn
    FROM endpoint
    CROSS JOIN LATERAL (
        SELECT q.delivery_id
        FROM delivery_queue q
        WHERE q.due_at IS NULL AND q.express
          AND q.tenant_id = endpoint.tenant_id
          AND q.endpoint_id >= endpoint.endpoint_id AND q.endpoint_id <= endpoint.endpoint_id
        ORDER BY q.tenant_id, q.endpoint_id, q.delivery_id
        LIMIT $4
    ) oldest
    WHERE NOT endpoint.has_limit
),
due AS MATERIALIZED (
    SELECT ordered.tenant_id, ordered.delivery_id, ordered.timeout_seconds, ordered.endpoint_version
    FROM (SELECT * FROM in_turn WHERE turn <= $4 ORDER BY turn, delivery_id) ordered
    CROSS JOIN LATERAL (
        SELECT
        FROM delivery_queue q
        WHERE q.tenant_id = ordered.tenant_id AND q.delivery_id = ordered.delivery_id
          -- Whether it is still ready; said so that no partial index, but only the primary key, answers it.
          AND coalesce(q.due_at, '-infinity') = '-infinity'
        FOR UPDATE SKIP LOCKED
    ) unlocked
    LIMIT $1
),
claimed AS (
    UPDATE delivery_queue q
    SET due_at = clock_timestamp() + make_interval(secs => due.timeout_seconds + $3 / 1000.0),
        lease_token = $9,
        leased_by = $2,
        leased_at = clock_timestamp(),
        limited = false
    FROM due, unsynced
    -- Any of one: see record_attempts.sql.
    WHERE q.tenant_id = ANY (ARRAY[due.tenant_id]) AND q.delivery_id = due.delivery_id
    RETURNING q.tenant_id, q.delivery_id, q.endpoint_id, due.endpoint_version, due.timeout_seconds, q.event_id,
              q.attempt_id, q.attempt_number, q.payload_bytes, q.replay_of_delivery_id, q.express, q.limited,
              q.ready_at, q.lease_token
)
SELECT * FROM claimed
UNION ALL
-- Endpoints with a limit are not claimed for here (claim_limited.sql does that), but told of.
SELECT tenant_id, NULL::uuid, endpoint_id, NULL::int8, NULL::int4, NULL::uuid, NULL::uuid, NULL::int4, NULL::int4,
       NULL::uuid, NULL::bool, NULL::bool, NULL::timestamptz, NULL::uuid
FROM endpoint
WHERE has_limit
