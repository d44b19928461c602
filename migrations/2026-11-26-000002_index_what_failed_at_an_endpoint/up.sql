-- What failed at one endpoint is what support asks for, and what is replayed after an outage. Few deliveries are in this
-- index; without it a page was looked for among all of the endpoint's.

SET LOCAL lock_timeout = '5s';
CREATE INDEX deliveries_endpoint_unsuccessful_idx ON deliveries (tenant_id, endpoint_id, unsuccessful_status, id)
    WHERE unsuccessful_status IS NOT NULL;
-- Last, see 2026-11-25-000010.
ALTER TABLE deliveries DROP CONSTRAINT deliveries_pkey;
ALTER TABLE deliveries ADD PRIMARY KEY (tenant_id, id);
