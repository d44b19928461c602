-- A page of what was sent to one endpoint, newest first: one row per event, with the newest of its deliveries and the
-- attempt of that. What passes comes back with is_match; the last row that may be read comes back in any case, so that
-- the next page can begin there.
--
-- Reads deliveries_endpoint_idx; the newest replay by deliveries_replays_idx, the attempt by its primary key.
--
-- $1 tenant  $2 endpoint  $3 below this id  $4 rows at most: one more than the page may hold
SELECT newest.*, first.id AS request_id, first.is_match, first.is_last_scanned,
       attempt.response_status, attempt.duration_ms, attempt.error_kind
FROM (
    -- Cut to the page before anything else is looked up for its rows.
    SELECT *
    FROM (
        SELECT tenant_id, endpoint_id, id, replay_of_delivery_id IS NULL AS is_match,
               -- As many as store::scan says.
               row_number() OVER (ORDER BY tenant_id DESC, endpoint_id DESC, id DESC) = 1500 AS is_last_scanned
        FROM (
            -- In the order of all the index's columns, so that the planner has one way to go.
            SELECT tenant_id, endpoint_id, id, replay_of_delivery_id
            FROM deliveries
            WHERE tenant_id = $1 AND (endpoint_id, id) < ($2, $3) AND endpoint_id >= $2 AND id < $3
            ORDER BY tenant_id DESC, endpoint_id DESC, id DESC
            LIMIT 1500
        ) indexed
    ) scanned
    WHERE is_match OR is_last_scanned
    ORDER BY tenant_id DESC, endpoint_id DESC, id DESC
    LIMIT $4
) first
CROSS JOIN LATERAL (
    SELECT coalesce(
        (SELECT id FROM deliveries
         WHERE tenant_id = $1 AND first_delivery_id >= first.id AND first_delivery_id <= first.id
           -- A replay's id is above what it replays: partitions before that are left alone.
           AND id > first.id AND replay_of_delivery_id IS NOT NULL
         ORDER BY tenant_id DESC, first_delivery_id DESC, id DESC LIMIT 1),
        first.id) AS id
) newest_id
-- One lookup each: a plan of joins that was made while the tables were empty reads all that a tenant has.
CROSS JOIN LATERAL (
    SELECT * FROM deliveries WHERE tenant_id = $1 AND id = newest_id.id LIMIT 1
) newest
LEFT JOIN LATERAL (
    SELECT * FROM attempts WHERE tenant_id = $1 AND id = newest.attempt_id LIMIT 1
) attempt ON true
ORDER BY first.id DESC
