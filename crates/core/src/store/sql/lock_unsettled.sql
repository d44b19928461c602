-- Enabled ones first, since their deliveries wait. Else by lot: whoever deletes thousands of endpoints leaves as many
-- here for a minute, and in any fixed order the same hundred would be looked at again and again meanwhile.
--
-- is_last_look: a minute after the change no publish call can still be under way that saw the old status: statements
-- end sooner. A leased row of an endpoint that is not enabled may still come back from its dispatcher, or be taken over,
-- as a retry; long after the change if no dispatcher was running. A lease ends at most two minutes from now (an
-- endpoint's timeout and the margin), which bounds the part of delivery_queue_waiting_idx that is looked at.
SELECT tenant_id, id, status,
       CASE WHEN unsettled_since >= now() - interval '1 minute' THEN false
            WHEN status = 'enabled' THEN true
            ELSE NOT EXISTS (
                SELECT FROM delivery_queue q
                WHERE q.due_at < now() + interval '2 minutes' AND q.lease_token IS NOT NULL
                  AND q.tenant_id = endpoints.tenant_id AND q.endpoint_id = endpoints.id)
       END AS is_last_look
FROM endpoints
WHERE unsettled_since IS NOT NULL
ORDER BY (status = 'enabled') DESC, random()
LIMIT 100
FOR NO KEY UPDATE SKIP LOCKED
