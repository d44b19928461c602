SET LOCAL lock_timeout = '5s';
ALTER TABLE endpoints DROP CONSTRAINT endpoints_event_patterns_number_check;
