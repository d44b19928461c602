SELECT tenant_id, id, status
FROM endpoints
WHERE unsettled_since IS NOT NULL
ORDER BY unsettled_since
LIMIT 100
FOR NO KEY UPDATE SKIP LOCKED
