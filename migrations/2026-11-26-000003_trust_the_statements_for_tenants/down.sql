SET LOCAL lock_timeout = '5s';
ALTER TABLE events ADD FOREIGN KEY (tenant_id) REFERENCES tenants (id);
ALTER TABLE attempts ADD FOREIGN KEY (tenant_id) REFERENCES tenants (id);
