-- Ends unfinished deliveries whose next attempt was scheduled before $1 (an id): the partition that the attempt would
-- be recorded in goes. Their own rows may be in that partition or in a later one.
WITH ended AS (
    DELETE FROM delivery_queue WHERE attempt_id < $1 RETURNING tenant_id, delivery_id
)
UPDATE deliveries
SET status = 'failed', next_retry_at = NULL, updated_at = now(),
    error_message = 'Not delivered within the retention period'
FROM ended
WHERE deliveries.tenant_id = ended.tenant_id AND deliveries.id = ended.delivery_id
