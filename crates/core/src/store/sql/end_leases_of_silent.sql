-- $1 seconds of silence. A lease ends at most two minutes from now (an endpoint's timeout and the margin), which bounds
-- the part of delivery_queue_waiting_idx that is looked at.
WITH silent AS (
    DELETE FROM dispatchers WHERE heartbeat_at < now() - make_interval(secs => $1) RETURNING id
)
UPDATE delivery_queue
SET due_at = now()
FROM silent
WHERE due_at > now() AND due_at < now() + interval '2 minutes' AND leased_by = silent.id
