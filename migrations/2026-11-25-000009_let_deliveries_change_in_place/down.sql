CREATE INDEX deliveries_undelivered_idx ON deliveries (tenant_id, status, id) WHERE status <> 'delivered';
DROP INDEX deliveries_unsuccessful_idx;
ALTER TABLE deliveries DROP COLUMN unsuccessful_status;
