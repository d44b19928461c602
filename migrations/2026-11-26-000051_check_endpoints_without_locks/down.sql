SET LOCAL lock_timeout = '5s';
DROP TRIGGER deliveries_have_an_endpoint ON deliveries;
DROP TRIGGER deliveries_keep_their_endpoint ON deliveries;
DROP TRIGGER endpoints_keep_their_keys ON endpoints;
DROP TRIGGER endpoints_are_never_removed ON endpoints;
DROP FUNCTION check_endpoints_of_deliveries, refuse_change;
ALTER TABLE deliveries ADD FOREIGN KEY (tenant_id, endpoint_id) REFERENCES endpoints (tenant_id, id);
