-- $1 seconds of silence. A lease ends at most two minutes from now (an endpoint's timeout and the margin), which bounds
-- the part of delivery_queue_waiting_idx that is looked at. What is locked is being recorded at this moment: the silent
-- one lives after all, and each of the two could wait for a row of the other.
WITH silent AS (
    DELETE FROM dispatchers WHERE heartbeat_at < now() - make_interval(secs => $1) RETURNING id
),
held AS MATERIALIZED (
    SELECT q.tenant_id, q.delivery_id
    FROM delivery_queue q
    JOIN silent ON silent.id = q.leased_by
    WHERE q.due_at > now() AND q.due_at < now() + interval '2 minutes'
    FOR UPDATE OF q SKIP LOCKED
)
UPDATE delivery_queue q
SET due_at = now()
FROM held
-- Any of one: see record_attempts.sql.
WHERE q.tenant_id = ANY (ARRAY[held.tenant_id]) AND q.delivery_id = held.delivery_id
