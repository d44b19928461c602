-- Ends unfinished deliveries from before $1 (an id), and those whose next attempt was scheduled before it: the partition
-- that they are in, or that the attempt would be recorded in, goes. A queue row without its delivery would be claimed
-- again and again.
WITH ended AS (
    DELETE FROM delivery_queue WHERE delivery_id < $1 OR attempt_id < $1 RETURNING tenant_id, delivery_id
)
UPDATE deliveries
SET status = 'failed', unsuccessful_status = 'failed', next_retry_at = NULL, updated_at = now(),
    error_message = 'Not delivered within the retention period'
FROM ended
-- Any of one: see record_attempts.sql.
WHERE deliveries.tenant_id = ANY (ARRAY[ended.tenant_id]) AND deliveries.id = ended.delivery_id
