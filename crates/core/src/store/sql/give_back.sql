-- $1 tenants, $2 deliveries, $3 tokens, $4 milliseconds to wait.
UPDATE delivery_queue q
SET due_at = CASE WHEN unused.wait_ms > 0 THEN now() + unused.wait_ms * interval '1 millisecond' END,
    lease_token = NULL, leased_by = NULL, leased_at = NULL
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int8[]) AS unused (tenant_id, delivery_id, lease_token, wait_ms)
-- Any of one: see record_attempts.sql.
WHERE q.tenant_id = ANY (ARRAY[unused.tenant_id]) AND q.delivery_id = unused.delivery_id AND q.lease_token = unused.lease_token
