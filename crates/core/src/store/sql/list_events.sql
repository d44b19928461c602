-- A page of a tenant's events, newest first, without their payloads. What passes the filters comes back with is_match;
-- the last row that may be read comes back in any case, so that the next page can begin there.
--
-- $1 tenant  $2 below this id  $3 from this id on
-- $4 type  $5 group  $6, $7 made from, until; each null where it does not filter
-- $8 rows at most: one more than the page may hold
SELECT id, event_type, event_group, created_at, is_match, is_last_scanned
FROM (
    SELECT id, event_type, event_group, created_at,
           ($4::text IS NULL OR event_type = $4)
           AND ($5::text IS NULL OR event_group IS NOT DISTINCT FROM $5)
           AND ($6::timestamptz IS NULL OR created_at >= $6)
           AND ($7::timestamptz IS NULL OR created_at < $7)
           -- Not where rows are read: of a range between two parameters the planner believes that it is next to empty.
           AND id >= $3 AS is_match,
           -- As many as store::scan says.
           row_number() OVER (ORDER BY id DESC) = 1500 AS is_last_scanned
    FROM (
        SELECT id, event_type, event_group, created_at
        FROM events
        WHERE tenant_id = $1 AND id < $2
        ORDER BY id DESC
        LIMIT 1500
    ) indexed
) scanned
WHERE is_match OR is_last_scanned
ORDER BY id DESC
LIMIT $8
