SET LOCAL lock_timeout = '5s';
DROP TRIGGER endpoints_are_never_removed ON endpoints;
DROP FUNCTION refuse_removal;
ALTER TABLE deliveries ADD FOREIGN KEY (tenant_id, endpoint_id) REFERENCES endpoints (tenant_id, id);
