-- PostgreSQL reads the expression of every CHECK and of every generated column of a table anew in each statement that writes
-- it: 80 to 110 µs where 1 to 8 events are published, a fifth of what the commit costs. A domain's checks are read once per
-- connection, and by an UPDATE only where it sets the column. So what concerns one column is said by its type, and what
-- several say of each other in few words.
--
-- Before the first release: tables in use would get new columns instead, and programs from before this can't end a delivery
-- without success any more, so that they have to be stopped first. The queue keeps its checks: a table that is rewritten
-- forgets the size of its indexes, and young plans with it.

SET LOCAL lock_timeout = '5s';
CREATE DOMAIN event_type AS text CHECK (octet_length(VALUE) BETWEEN 1 AND 128);
CREATE DOMAIN event_payload AS bytea CHECK (octet_length(VALUE) <= 1048576);
CREATE DOMAIN response_body AS bytea CHECK (octet_length(VALUE) <= 16384);
CREATE DOMAIN http_status AS integer CHECK (VALUE BETWEEN 100 AND 999);
CREATE DOMAIN attempt_number AS integer CHECK (VALUE >= 1);
CREATE DOMAIN non_negative AS integer CHECK (VALUE >= 0);
CREATE DOMAIN unsuccessful_status AS text CHECK (VALUE IN ('failed', 'canceled', 'skipped'));
COMMENT ON DOMAIN event_type IS 'What an event says that it is: 1 to 128 bytes';
COMMENT ON DOMAIN event_payload IS 'What an event carries: 1 MiB at most';
COMMENT ON DOMAIN response_body IS 'What is kept of a response''s body: its first 16 KiB at most';
COMMENT ON DOMAIN http_status IS 'Three digits, as in RFC 9110, section 15; also those that it does not know';
COMMENT ON DOMAIN attempt_number IS 'Counts a delivery''s attempts, from one on';
COMMENT ON DOMAIN non_negative IS 'A number of things, or of milliseconds';
COMMENT ON DOMAIN unsuccessful_status IS 'How a delivery ends without success';

ALTER TABLE events
    DROP CONSTRAINT events_event_type_check,
    DROP CONSTRAINT events_payload_check,
    ALTER COLUMN event_type TYPE event_type,
    ALTER COLUMN payload TYPE event_payload;

ALTER TABLE attempts
    DROP CONSTRAINT attempts_number_check,
    DROP CONSTRAINT attempts_duration_ms_check,
    DROP CONSTRAINT attempts_response_status_check,
    DROP CONSTRAINT attempts_response_body_check,
    ALTER COLUMN number TYPE attempt_number,
    ALTER COLUMN duration_ms TYPE non_negative,
    ALTER COLUMN response_status TYPE http_status,
    ALTER COLUMN response_body TYPE response_body;

-- Three columns of which one at most is set say all that status says; status is there to be read.
ALTER TABLE deliveries
    DROP CONSTRAINT deliveries_attempt_count_check,
    DROP CONSTRAINT deliveries_final_http_status_check,
    DROP CONSTRAINT deliveries_status_check,
    DROP CONSTRAINT deliveries_check,
    DROP CONSTRAINT deliveries_check1,
    DROP CONSTRAINT deliveries_check2,
    ALTER COLUMN unsuccessful_status DROP EXPRESSION;
ALTER TABLE deliveries
    ALTER COLUMN unsuccessful_status TYPE unsuccessful_status,
    ALTER COLUMN attempt_count TYPE non_negative,
    ALTER COLUMN final_http_status TYPE http_status,
    ADD CONSTRAINT deliveries_status_check CHECK (status = coalesce(unsuccessful_status, CASE
        WHEN delivered_at IS NOT NULL THEN 'delivered' WHEN next_retry_at IS NOT NULL THEN 'retrying' ELSE 'pending' END)),
    ADD CONSTRAINT deliveries_one_status_check
        CHECK (num_nonnulls(unsuccessful_status, delivered_at, next_retry_at) <= 1),
    ADD CONSTRAINT deliveries_final_http_status_check
        CHECK (final_http_status IS NULL OR delivered_at IS NOT NULL OR unsuccessful_status IS NOT NULL);
ALTER TABLE deliveries RENAME CONSTRAINT deliveries_check3 TO deliveries_first_delivery_check;
COMMENT ON COLUMN deliveries.unsuccessful_status IS
    'The status, if it is one that a delivery ends in without success: the others are in no index, so that they can change in place';
-- Last, see 2026-11-25-000010.
ALTER TABLE deliveries DROP CONSTRAINT deliveries_pkey;
ALTER TABLE deliveries ADD PRIMARY KEY (tenant_id, id);
