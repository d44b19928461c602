-- Headers are written with each attempt and read by people now and then: PostgreSQL need not take them apart. Half of what
-- an attempt's insert cost was jsonb. (Before the first release: a table in use would get new columns instead.)

SET LOCAL lock_timeout = '5s';
ALTER TABLE attempts
    ALTER COLUMN request_headers TYPE text USING request_headers::text,
    ALTER COLUMN response_headers TYPE text USING response_headers::text;
COMMENT ON COLUMN attempts.request_headers IS 'A JSON object, as text';
COMMENT ON COLUMN attempts.response_headers IS 'A JSON object, as text; values of one name are joined by commas';
