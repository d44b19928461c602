-- Takes the right to claim for limited endpoints ($1 tenants, $2 endpoints, in step). What somebody else holds is left to
-- them.
SELECT limits.tenant_id, limits.endpoint_id
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (tenant_id, endpoint_id)
JOIN endpoint_limits limits ON limits.tenant_id = wanted.tenant_id AND limits.endpoint_id = wanted.endpoint_id
FOR UPDATE OF limits SKIP LOCKED
