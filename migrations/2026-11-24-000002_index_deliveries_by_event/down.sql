DROP INDEX deliveries_event_idx;
