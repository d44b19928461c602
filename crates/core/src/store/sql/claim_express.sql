-- Takes express deliveries, the oldest first. $1 rows at most, $2 this dispatcher, $3 lease margin in milliseconds.
WITH
unsynced AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS setting),
due AS MATERIALIZED (
    SELECT q.tenant_id, q.delivery_id, endpoints.timeout_seconds, endpoints.version AS endpoint_version
    FROM delivery_queue q
    JOIN endpoints ON endpoints.tenant_id = q.tenant_id AND endpoints.id = q.endpoint_id
    WHERE q.due_at IS NULL AND q.express AND endpoints.status = 'enabled'
    ORDER BY q.delivery_id
    LIMIT $1
    FOR UPDATE OF q SKIP LOCKED
)
UPDATE delivery_queue q
SET due_at = clock_timestamp() + make_interval(secs => due.timeout_seconds + $3 / 1000.0),
    lease_token = gen_random_uuid(),
    leased_by = $2,
    leased_at = clock_timestamp()
FROM due, unsynced
WHERE q.tenant_id = due.tenant_id AND q.delivery_id = due.delivery_id
RETURNING q.tenant_id, q.delivery_id, q.endpoint_id, due.endpoint_version, q.event_id, q.attempt_id,
          q.attempt_number, q.payload_bytes, q.express, q.lease_token
