-- Endpoints with anything that the current master key has not sealed, in the order of their keys.
-- $1 what begins all that it has sealed (sealing.rs: the format's version and the key's id)  $2, $3 after this endpoint
SELECT tenant_id, id, secret_sealed, previous_secret_sealed, custom_headers_sealed
FROM endpoints
WHERE (tenant_id, id) > ($2, $3)
  AND (substr(secret_sealed, 1, 5) <> $1 OR substr(previous_secret_sealed, 1, 5) <> $1
       OR substr(custom_headers_sealed, 1, 5) <> $1)
ORDER BY tenant_id, id
LIMIT 100
FOR NO KEY UPDATE
