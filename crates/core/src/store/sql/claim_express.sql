-- Takes express deliveries: of each tenant a few at a time, the oldest first, whatever their endpoints have in flight.
-- $1 rows at most, $2 this dispatcher, $3 lease margin in milliseconds,
-- $4 in flight at most per tenant, $5, $6 what is in flight here, by tenant.
WITH
unsynced AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS setting),
in_turn AS MATERIALIZED (
    SELECT q.tenant_id, q.delivery_id, q.endpoint_id,
           coalesce(busy.in_flight, 0) + row_number() OVER (PARTITION BY q.tenant_id ORDER BY q.delivery_id) AS turn
    FROM delivery_queue q
    LEFT JOIN unnest($5::uuid[], $6::int4[]) AS busy (tenant_id, in_flight) ON busy.tenant_id = q.tenant_id
    WHERE q.due_at IS NULL AND q.express
),
due AS MATERIALIZED (
    SELECT q.tenant_id, q.delivery_id, endpoints.timeout_seconds, endpoints.version AS endpoint_version
    FROM in_turn
    JOIN delivery_queue q ON q.tenant_id = in_turn.tenant_id AND q.delivery_id = in_turn.delivery_id
    JOIN endpoints ON endpoints.tenant_id = q.tenant_id AND endpoints.id = q.endpoint_id
    WHERE in_turn.turn <= $4 AND q.due_at IS NULL AND q.express AND endpoints.status = 'enabled'
      AND endpoints.rate_limit_per_second IS NULL AND endpoints.max_in_flight IS NULL
    ORDER BY in_turn.turn, in_turn.delivery_id
    LIMIT $1
    FOR UPDATE OF q SKIP LOCKED
),
claimed AS (
    UPDATE delivery_queue q
    SET due_at = clock_timestamp() + make_interval(secs => due.timeout_seconds + $3 / 1000.0),
        lease_token = gen_random_uuid(),
        leased_by = $2,
        leased_at = clock_timestamp(),
        limited = false
    FROM due, unsynced
    WHERE q.tenant_id = due.tenant_id AND q.delivery_id = due.delivery_id
    RETURNING q.tenant_id, q.delivery_id, q.endpoint_id, due.endpoint_version, due.timeout_seconds, q.event_id,
              q.attempt_id, q.attempt_number, q.payload_bytes, q.express, q.limited, q.lease_token
)
SELECT * FROM claimed
UNION ALL
-- Endpoints with a limit are not claimed for here (claim_limited.sql does that), but told of.
SELECT DISTINCT in_turn.tenant_id, NULL::uuid, in_turn.endpoint_id, NULL::int8, NULL::int4, NULL::uuid, NULL::uuid,
       NULL::int4, NULL::int4, NULL::bool, NULL::bool, NULL::uuid
FROM in_turn
JOIN endpoints ON endpoints.tenant_id = in_turn.tenant_id AND endpoints.id = in_turn.endpoint_id
WHERE endpoints.status = 'enabled'
  AND (endpoints.rate_limit_per_second IS NOT NULL OR endpoints.max_in_flight IS NOT NULL)
