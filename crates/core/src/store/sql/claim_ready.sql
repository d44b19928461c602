-- Takes ready deliveries of endpoints that have no limit, so many of each, and reads what is to be sent: once of each event,
-- however many of its deliveries are among them.
--
-- $1, $2 endpoints  $3 the delivery to start after, of each  $4 rows at most, of each
-- $5 payload bytes: what goes beyond them is the last row taken
-- $6 this dispatcher  $7 lease margin in milliseconds, beyond the endpoint's own timeout  $8 the token of the leases
WITH
-- Losing this commit in a crash of PostgreSQL costs nothing: the rows are merely claimed again.
unsynced AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS setting),
locked AS MATERIALIZED (
    SELECT wanted.tenant_id, due.delivery_id, due.payload_bytes, endpoints.timeout_seconds,
           endpoints.version AS endpoint_version, wanted.place,
           row_number() OVER (PARTITION BY wanted.place ORDER BY due.delivery_id) AS turn
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int4[]) WITH ORDINALITY
        AS wanted (tenant_id, endpoint_id, after_id, max_rows, place)
    CROSS JOIN LATERAL (
        SELECT * FROM endpoints WHERE tenant_id = wanted.tenant_id AND id = wanted.endpoint_id LIMIT 1
    ) endpoints
    -- Of the index everything between two bounds is read: it is entered right behind the delivery to start after, which is
    -- what the comparison of rows says, and left at the endpoint's end. Said so, and in the order of all its columns, the
    -- planner has no other way to go: an equality would let it read the tenant's part of the primary key.
    CROSS JOIN LATERAL (
        SELECT q.delivery_id, q.payload_bytes
        FROM delivery_queue q
        WHERE q.due_at IS NULL AND NOT q.express
          AND q.tenant_id = wanted.tenant_id
          AND (q.endpoint_id, q.delivery_id) > (wanted.endpoint_id, wanted.after_id)
          AND q.endpoint_id <= wanted.endpoint_id
        ORDER BY q.tenant_id, q.endpoint_id, q.delivery_id
        LIMIT wanted.max_rows
        FOR UPDATE SKIP LOCKED
    ) due
    WHERE endpoints.status = 'enabled'
      AND endpoints.rate_limit_per_second IS NULL AND endpoints.max_in_flight IS NULL
      AND endpoints.circuit_opened_at IS NULL
),
ranked AS (
    SELECT *, sum(payload_bytes) OVER (ORDER BY turn, place ROWS UNBOUNDED PRECEDING) - payload_bytes AS bytes_before
    FROM locked
),
leased AS (
    UPDATE delivery_queue q
    SET due_at = clock_timestamp() + make_interval(secs => ranked.timeout_seconds + $7 / 1000.0),
        lease_token = $8,
        leased_by = $6,
        leased_at = clock_timestamp(),
        limited = false
    FROM ranked, unsynced
    -- Any of one: see record_attempts.sql.
    WHERE q.tenant_id = ANY (ARRAY[ranked.tenant_id]) AND q.delivery_id = ranked.delivery_id AND ranked.bytes_before < $5
    RETURNING q.tenant_id, q.delivery_id, q.endpoint_id, ranked.endpoint_version, ranked.timeout_seconds, q.event_id,
              q.attempt_id, q.attempt_number, q.payload_bytes, q.replay_of_delivery_id, q.express, q.limited,
              q.ready_at, q.lease_token
)
SELECT leased.*, message.event_type, message.payload
FROM (
    SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY delivery_id) = 1 AS is_first_of_event FROM leased
) leased
LEFT JOIN LATERAL (
    SELECT event_type, payload
    FROM events
    WHERE events.tenant_id = leased.tenant_id AND events.id = leased.event_id AND leased.is_first_of_event
    LIMIT 1
) message ON true
