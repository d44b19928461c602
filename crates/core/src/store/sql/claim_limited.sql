-- Takes due deliveries of limited endpoints, within limits that hold over all dispatchers. The transaction must hold the
-- lock of their rows in endpoint_limits (lock_limits.sql), and take it in a statement before this one: then this one's
-- snapshot sees every lease that others have made under that lock.
--
-- A rate is kept by slots: each attempt takes one, and the next is 1/rate later. After a pause as many slots may be taken
-- at once as lie in 50 ms, at least one.
--
-- A circuit that is not closed is a limit too: while it is open only express deliveries may go, then one at a time, and
-- while it is closing a number that doubles with each step. Express deliveries go past it.
--
-- $1 tenants  $2 endpoints  $3 rows at most of each, in step
-- $4 rows wanted at most    $5 payload bytes: what goes beyond them is the last row taken
-- $6 this dispatcher        $7 lease margin in milliseconds, beyond the endpoint's own timeout
-- $8 milliseconds of a step of closing  $9 milliseconds after which an open circuit is asked for again at the latest
-- $10 the token of the leases
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
           -- least() passes over nulls, which are limits that there are not.
           least(wanted.room, endpoints.max_in_flight - leased.leased_count) AS room,
           least(wanted.room, least(endpoints.max_in_flight, circuit.max_in_flight) - leased.leased_count) AS ready_room,
           circuit.*
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
    LEFT JOIN LATERAL (
        SELECT limits.circuit_openings,
               limits.circuit_closing_since IS NOT NULL AS circuit_is_closing,
               CASE WHEN limits.circuit_open_until > clock.at
                    THEN ceil(extract(epoch FROM limits.circuit_open_until - clock.at) * 1000)::int8 END AS open_ms,
               CASE WHEN limits.circuit_open_until > clock.at THEN 0
                    WHEN limits.circuit_closing_since IS NULL THEN 1
                    -- Beyond 1,024 it no longer limits anything.
                    ELSE 1 << least(10, floor(extract(epoch FROM clock.at - limits.circuit_closing_since) * 1000 / $8::int4)::int4)
               END AS max_in_flight
        WHERE endpoints.circuit_opened_at IS NOT NULL AND limits.circuit_open_until IS NOT NULL
    ) circuit ON true
    -- One that has no limit any more is claimed for as all others.
    WHERE endpoints.status = 'enabled'
      AND (endpoints.rate_limit_per_second IS NOT NULL OR endpoints.max_in_flight IS NOT NULL
           OR endpoints.circuit_opened_at IS NOT NULL)
),
allowed AS MATERIALIZED (
    SELECT endpoint.*,
           greatest(0, least(room, slots.count)) AS allowed_rows,
           greatest(0, least(ready_room, slots.count)) AS allowed_ready
    FROM endpoint
    CROSS JOIN clock
    CROSS JOIN LATERAL (
        SELECT CASE WHEN rate IS NULL THEN NULL
                    WHEN slot_at > clock.at THEN 0
                    ELSE floor(extract(epoch FROM clock.at - slot_at) * rate)::int8 + 1 END AS count
    ) slots
),
due AS MATERIALIZED (
    SELECT allowed.*, found.delivery_id, found.payload_bytes, found.express,
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
            LIMIT allowed.allowed_ready
            FOR UPDATE SKIP LOCKED
        ) ready
    ) found
),
ranked AS (
    SELECT *, row_number() OVER in_turn AS rank,
           sum(payload_bytes) OVER (in_turn ROWS UNBOUNDED PRECEDING) - payload_bytes AS bytes_before
    FROM due
    WHERE turn <= CASE WHEN express THEN allowed_rows ELSE allowed_ready END
    WINDOW in_turn AS (ORDER BY turn, endpoint_id)
),
claimed AS (
    UPDATE delivery_queue q
    SET due_at = clock.at + make_interval(secs => ranked.timeout_seconds + $7 / 1000.0),
        lease_token = $10,
        leased_by = $6,
        leased_at = clock.at,
        limited = true
    FROM ranked, clock, unsynced
    -- Any of one: see record_attempts.sql.
    WHERE q.tenant_id = ANY (ARRAY[ranked.tenant_id]) AND q.delivery_id = ranked.delivery_id
      AND ranked.rank <= $4 AND ranked.bytes_before < $5
    RETURNING q.tenant_id, q.delivery_id, q.endpoint_id, ranked.endpoint_version, ranked.timeout_seconds, q.event_id,
              q.attempt_id, q.attempt_number, q.payload_bytes, q.replay_of_delivery_id, q.express, q.limited,
              q.ready_at, q.lease_token
),
taken AS (
    SELECT allowed.tenant_id, allowed.endpoint_id, allowed.rate, allowed.allowed_ready, allowed.circuit_openings,
           allowed.circuit_is_closing, allowed.open_ms, count(claimed.delivery_id) AS taken_rows,
           allowed.slot_at + make_interval(secs => count(claimed.delivery_id) / allowed.rate::float8) AS next_slot_at
    FROM allowed
    LEFT JOIN claimed ON claimed.tenant_id = allowed.tenant_id AND claimed.endpoint_id = allowed.endpoint_id
    GROUP BY allowed.tenant_id, allowed.endpoint_id, allowed.rate,
             allowed.slot_at, allowed.allowed_ready, allowed.circuit_openings, allowed.circuit_is_closing, allowed.open_ms
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
       taken.taken_rows < taken.allowed_ready AS has_room_left,
       greatest(0, ceil(extract(epoch FROM taken.next_slot_at - clock.at) * 1000))::int8 AS wait_ms,
       CASE WHEN taken.open_ms IS NOT NULL THEN least(taken.open_ms, $9::int8) END AS open_ms, taken.circuit_openings, taken.circuit_is_closing,
       NULL::uuid AS delivery_id, NULL::int8 AS endpoint_version, NULL::int4 AS timeout_seconds, NULL::uuid AS event_id,
       NULL::uuid AS attempt_id, NULL::int4 AS attempt_number, NULL::int4 AS payload_bytes,
       NULL::uuid AS replay_of_delivery_id, NULL::bool AS express, NULL::bool AS limited,
       NULL::timestamptz AS ready_at, NULL::uuid AS lease_token
FROM taken, clock
UNION ALL
SELECT tenant_id, endpoint_id, false, NULL, NULL, NULL, NULL, delivery_id, endpoint_version, timeout_seconds, event_id,
       attempt_id, attempt_number, payload_bytes, replay_of_delivery_id, express, limited, ready_at, lease_token
FROM claimed
