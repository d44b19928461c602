-- The deliveries of one event. Ids of events come in order of time, so inserting goes to the index's right edge.

SET LOCAL lock_timeout = '5s';
CREATE INDEX deliveries_event_idx ON deliveries (tenant_id, event_id, id);
