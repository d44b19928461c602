-- The API refuses more; publishing compares each event with each pattern, so the database refuses them too. No row breaks it.

SET LOCAL lock_timeout = '5s';
ALTER TABLE endpoints ADD CONSTRAINT endpoints_event_patterns_number_check CHECK (cardinality(event_patterns) <= 100);
