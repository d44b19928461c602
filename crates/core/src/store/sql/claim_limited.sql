-- Takes due deliveries of limited endpoints, within limits that hold over all dispatchers. The transaction must hold the
-- lock of their rows in endpoint_limits (lock_limits.sql), and take it in a statement before this one: then this one's
-- snapshot sees every lease that others have made under that lock.
--
-- A rate is kept by slots: each attempt takes one, and the next is 1/rate later. After a pause as many slots may be taken
-- at once as lie in 50 ms, at least one.
--
-- $1 tenants  $2 endpoints  $3 rows at most of each, in step
-- $4 rows wanted at most    $5 payload bytes: what goes beyond them is the last row taken
-- $6 this dispatcher        $7 lease margin in milliseconds, beyond the endpoint's own timeout
WITH
unsynced AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS setting),
clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
endpoint AS MATERIALIZED (
    SELECT wanted.tenant_id, wanted.endpoint_id, endpoints.timeout_seconds, endpoints.version AS endpoint_version,
           endpoints.rate_limit_per_second AS rate,
           greatest(
               limits.next_slot_at,
               clock.at - make_interval(secs => (greatest(1, endpoints.rate_limit_per_second * 0.05) - 1)
                                                / endpoints.rate_limit_per_second::float8)
           ) AS slot_at,
           least(wanted.room, coalesce(endpoints.max_in_flight - leased.leased_count, wanted.room)) AS room
    FROM unnest($1::uuid[], $2::uuid[], $3::int4[]) AS wanted (tenant_id, endpoint_id, room)
    CROSS JOIN clock
    CROSS JOIN LATERAL (
        SELECT * FROM endpoints WHERE tenant_id = wanted.tenant_id AND id = wanted.endpoint_id LIMIT 1
    ) endpoints
    JOIN endpoint_limits limits
        ON limits.tenant_id = wanted.tenant_id AND limits.endpoint_id = wanted.endpoint_id
    CROSS JOIN LATERAL (
        SELECT count(*)::int4 AS leased_count
        FROM delivery_queue q
        WHERE q.tenant_id = wanted.tenant_id AND q.endpoint_id = wanted.endpoint_id
          AND q.lease_token IS NOT NULL AND q.limited AND q.due_at > clock.at
    ) leased
    WHERE endpoints.status = 'enabled'
),
allowed AS MATERIALIZED (
    SELECT endpoint.*,
           greatest(0, CASE
               WHEN rate IS NULL THEN room
               WHEN slot_at > clock.at THEN 0
               ELSE least(room, floor(extract(epoch FROM clock.at - slot_at) * rate)::int8 + 1)
           END)::int8 AS allowed_rows
    FROM endpoint, clock
),
due AS MATERIALIZED (
    SELECT allowed.*, found.delivery_id, found.payload_bytes,
           row_number() OVER (PARTITION BY allowed.endpoint_id ORDER BY found.express DESC, found.delivery_id) AS turn
    FROM allowed
    CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT q.delivery_id, q.payload_bytes, q.express
            FROM delivery_queue q
            WHERE q.due_at IS NULL AND q.express
              AND q.tenant_id = allowed.tenant_id
              AND q.endpoint_id >= allowed.endpoint_id AND q.endpoint_id <= allowed.endpoint_id
            ORDER BY q.tenant_id, q.endpoint_id, q.delivery_id
            LIMIT allowed.allowed_rows
            FOR UPDATE SKIP LOCKED
        ) express
        UNION ALL
        SELECT * FROM (
            SELECT q.delivery_id, q.payload_bytes, q.express
            FROM delivery_queue q
            WHERE q.due_at IS NULL AND NOT q.express
              AND q.tenant_id = allowed.tenant_id
              AND q.endpoint_id >= allowed.endpoint_id AND q.endpoint_id <= allowed.endpoint_id
            ORDER BY q.tenant_id, q.endpoint_id, q.delivery_id
            LIMIT allowed.allowed_rows
            FOR UPDATE SKIP LOCKED
        ) ready
    ) found
),
ranked AS (
    SELECT *, row_number() OVER in_turn AS rank,
           sum(payload_bytes) OVER (in_turn ROWS UNBOUNDED PRECEDING) - payload_bytes AS bytes_before
    FROM due
    WHERE turn <= allowed_rows
    WINDOW in_turn AS (ORDER BY turn, endpoint_id)
),
claimed AS (
    UPDATE delivery_queue q
    SET due_at = clock.at + make_interval(secs => ranked.timeout_seconds + $7 / 1000.0),
        lease_token = gen_random_uuid(),
        leased_by = $6,
        leased_at = clock.at,
        limited = true
    FROM ranked, clock, unsynced
    WHERE q.tenant_id = ranked.tenant_id AND q.delivery_id = ranked.delivery_id
      AND ranked.rank <= $4 AND ranked.bytes_before < $5
    RETURNING q.tenant_id, q.delivery_id, q.endpoint_id, ranked.endpoint_version, ranked.timeout_seconds, q.event_id,
              q.attempt_id, q.attempt_number, q.payload_bytes, q.replay_of_delivery_id, q.express, q.limited,
              q.lease_token
),
taken AS (
    SELECT allowed.*, count(claimed.delivery_id) AS taken_rows,
           allowed.slot_at + make_interval(secs => count(claimed.delivery_id) / allowed.rate::float8) AS next_slot_at
    FROM allowed
    LEFT JOIN claimed ON claimed.tenant_id = allowed.tenant_id AND claimed.endpoint_id = allowed.endpoint_id
    GROUP BY allowed.tenant_id, allowed.endpoint_id, allowed.timeout_seconds, allowed.endpoint_version, allowed.rate,
             allowed.slot_at, allowed.room, allowed.allowed_rows
),
advanced AS (
    UPDATE endpoint_limits limits
    SET next_slot_at = taken.next_slot_at
    FROM taken
    WHERE limits.tenant_id = taken.tenant_id AND limits.endpoint_id = taken.endpoint_id
      AND taken.rate IS NOT NULL AND taken.taken_rows > 0
)
-- What came of each endpoint, and the claims.
SELECT taken.tenant_id, taken.endpoint_id,
       taken.taken_rows < taken.allowed_rows AS has_room_left,
       greatest(0, ceil(extract(epoch FROM taken.next_slot_at - clock.at) * 1000))::int8 AS wait_ms,
       NULL::uuid AS delivery_id, NULL::int8 AS endpoint_version, NULL::int4 AS timeout_seconds, NULL::uuid AS event_id,
       NULL::uuid AS attempt_id, NULL::int4 AS attempt_number, NULL::int4 AS payload_bytes,
       NULL::uuid AS replay_of_delivery_id, NULL::bool AS express, NULL::bool AS limited, NULL::uuid AS lease_token
FROM taken, clock
UNION ALL
SELECT tenant_id, endpoint_id, false, NULL, delivery_id, endpoint_version, timeout_seconds, event_id, attempt_id,
       attempt_number, payload_bytes, replay_of_delivery_id, express, limited, lease_token
FROM claimed
