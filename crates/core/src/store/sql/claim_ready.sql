-- Takes due deliveries fairly: hops from tenant to tenant, in each from endpoint to endpoint (one probe of
-- delivery_queue_ready_idx per hop, whatever the backlog), and takes a small share of each.
--
-- $1 rows wanted at most    $2 payload bytes: what goes beyond them is the last row taken
-- $3 this dispatcher        $4 lease margin in milliseconds, beyond the endpoint's own timeout
-- $5 tenant to start after  $6, $7 for the tenants not walked to their end: the endpoint to start after
-- $8 in flight at most per endpoint, $9, $10 what is in flight here, by endpoint
-- $11 in flight at most per tenant, $12, $13 what is in flight here, by tenant
-- $14 tenants at most       $15 endpoints at most, of each tenant
WITH RECURSIVE
-- Losing this commit in a crash of PostgreSQL costs nothing: the rows are merely claimed again.
unsynced AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS setting),
tenant_hop AS (
    (SELECT tenant_id, 1 AS hop
     FROM delivery_queue
     WHERE due_at IS NULL AND NOT express AND tenant_id > $5
     ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT next.tenant_id, tenant_hop.hop + 1
    FROM tenant_hop, LATERAL (
        SELECT q.tenant_id
        FROM delivery_queue q
        WHERE q.due_at IS NULL AND NOT q.express AND q.tenant_id > tenant_hop.tenant_id
        ORDER BY q.tenant_id LIMIT 1
    ) next
    WHERE tenant_hop.hop < $14
),
walked AS MATERIALIZED (
    SELECT tenant_hop.tenant_id, walk.endpoint_id, walk.hop
    FROM tenant_hop
    LEFT JOIN unnest($6::uuid[], $7::uuid[]) AS resume (tenant_id, endpoint_id)
        ON resume.tenant_id = tenant_hop.tenant_id
    CROSS JOIN LATERAL (
        WITH RECURSIVE endpoint_hop AS (
            (SELECT q.endpoint_id, 1 AS hop
             FROM delivery_queue q
             WHERE q.due_at IS NULL AND NOT q.express AND q.tenant_id = tenant_hop.tenant_id
               AND q.endpoint_id > coalesce(resume.endpoint_id, '00000000-0000-0000-0000-000000000000')
             ORDER BY q.tenant_id, q.endpoint_id LIMIT 1)
            UNION ALL
            SELECT next.endpoint_id, endpoint_hop.hop + 1
            FROM endpoint_hop, LATERAL (
                SELECT q.endpoint_id
                FROM delivery_queue q
                WHERE q.due_at IS NULL AND NOT q.express AND q.tenant_id = tenant_hop.tenant_id
                  AND q.endpoint_id > endpoint_hop.endpoint_id
                ORDER BY q.tenant_id, q.endpoint_id LIMIT 1
            ) next
            WHERE endpoint_hop.hop < $15
        )
        SELECT endpoint_id, hop FROM endpoint_hop
    ) walk
),
usable_endpoint AS MATERIALIZED (
    SELECT walked.tenant_id, walked.endpoint_id, endpoints.timeout_seconds, endpoints.version AS endpoint_version,
           coalesce(busy_endpoint.in_flight, 0) AS endpoint_in_flight,
           coalesce(busy_tenant.in_flight, 0) AS tenant_in_flight,
           $8 - coalesce(busy_endpoint.in_flight, 0) AS endpoint_room,
           $11 - coalesce(busy_tenant.in_flight, 0) AS tenant_room,
           endpoints.rate_limit_per_second IS NOT NULL OR endpoints.max_in_flight IS NOT NULL AS has_limit,
           random() AS lot
    FROM walked
    JOIN endpoints ON endpoints.tenant_id = walked.tenant_id AND endpoints.id = walked.endpoint_id
    LEFT JOIN unnest($9::uuid[], $10::int4[]) AS busy_endpoint (endpoint_id, in_flight)
        ON busy_endpoint.endpoint_id = walked.endpoint_id
    LEFT JOIN unnest($12::uuid[], $13::int4[]) AS busy_tenant (tenant_id, in_flight)
        ON busy_tenant.tenant_id = walked.tenant_id
    WHERE endpoints.status = 'enabled'
      AND $8 > coalesce(busy_endpoint.in_flight, 0)
      AND $11 > coalesce(busy_tenant.in_flight, 0)
),
-- No more endpoints than rows are wanted, so that no more is locked than is about to be taken: whoever has least in
-- flight goes first, tenant before tenant and in each endpoint before endpoint, and lots are drawn among equals.
candidate AS MATERIALIZED (
    SELECT *, count(*) OVER (PARTITION BY tenant_id) AS tenant_endpoint_count
    FROM (
        SELECT *
        FROM (
            SELECT *, row_number() OVER (PARTITION BY tenant_id ORDER BY endpoint_in_flight, lot) AS endpoint_turn
            FROM usable_endpoint
            WHERE NOT has_limit
        ) in_turn
        WHERE endpoint_turn <= tenant_room
        ORDER BY tenant_in_flight + endpoint_turn, lot
        LIMIT $1
    ) first_in_turn
),
share AS (
    SELECT *, ceil(least(tenant_room, ceil($1::float8 / tenant_count)) / tenant_endpoint_count) AS fair_rows
    FROM candidate, (SELECT count(DISTINCT tenant_id) AS tenant_count FROM candidate) tenants
),
locked AS MATERIALIZED (
    SELECT share.tenant_id, share.tenant_in_flight, share.tenant_room, share.timeout_seconds, share.endpoint_version,
           due.*, share.lot,
           share.endpoint_in_flight + row_number() OVER (PARTITION BY due.endpoint_id ORDER BY due.delivery_id)
               AS endpoint_rank
    FROM share, LATERAL (
        SELECT q.delivery_id, q.endpoint_id, q.payload_bytes
        FROM delivery_queue q
        WHERE q.due_at IS NULL AND NOT q.express
          AND q.tenant_id = share.tenant_id AND q.endpoint_id = share.endpoint_id
        ORDER BY q.tenant_id, q.endpoint_id, q.delivery_id
        LIMIT least(share.endpoint_room, share.fair_rows)::int8
        FOR UPDATE SKIP LOCKED
    ) due
),
-- Shares are rounded up, so a little more may be locked than there is room for; the same turns decide.
in_turn AS (
    SELECT *, row_number() OVER (PARTITION BY tenant_id ORDER BY endpoint_rank, lot) AS tenant_rank
    FROM locked
),
ranked AS (
    SELECT *, row_number() OVER turn AS rank,
           sum(payload_bytes) OVER (turn ROWS UNBOUNDED PRECEDING) - payload_bytes AS bytes_before
    FROM in_turn
    WINDOW turn AS (ORDER BY tenant_in_flight + tenant_rank, lot)
),
claimed AS (
    UPDATE delivery_queue q
    SET due_at = clock_timestamp() + make_interval(secs => ranked.timeout_seconds + $4 / 1000.0),
        lease_token = gen_random_uuid(),
        leased_by = $3,
        leased_at = clock_timestamp(),
        limited = false
    FROM ranked, unsynced
    WHERE q.tenant_id = ranked.tenant_id AND q.delivery_id = ranked.delivery_id
      AND ranked.tenant_rank <= ranked.tenant_room AND ranked.rank <= $1 AND ranked.bytes_before < $2
    RETURNING q.tenant_id, q.delivery_id, q.endpoint_id, ranked.endpoint_version, ranked.timeout_seconds, q.event_id, q.attempt_id,
              q.attempt_number, q.payload_bytes, q.express, q.limited, q.lease_token
)
-- Where the walk went: per tenant visited, whether it was the last one that the walk may visit, and the endpoint to
-- go on after if that one was. These come whether or not anything was taken there.
SELECT tenant_hop.tenant_id,
       tenant_hop.hop = $14 AS is_last_hop,
       (SELECT walked.endpoint_id FROM walked WHERE walked.tenant_id = tenant_hop.tenant_id AND walked.hop = $15)
           AS resume_after,
       NULL::uuid AS delivery_id, NULL::uuid AS endpoint_id, NULL::int8 AS endpoint_version,
       NULL::int4 AS timeout_seconds, NULL::uuid AS event_id,
       NULL::uuid AS attempt_id, NULL::int4 AS attempt_number, NULL::int4 AS payload_bytes, NULL::bool AS express,
       NULL::bool AS limited, NULL::uuid AS lease_token
FROM tenant_hop
UNION ALL
SELECT tenant_id, false, NULL, delivery_id, endpoint_id, endpoint_version, timeout_seconds, event_id, attempt_id, attempt_number,
       payload_bytes, express, limited, lease_token
FROM claimed
UNION ALL
-- Endpoints with a limit are not claimed for here (claim_limited.sql does that), but told of.
SELECT tenant_id, false, NULL, NULL, endpoint_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM usable_endpoint
WHERE has_limit
