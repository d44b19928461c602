-- A UUIDv7 of a time in milliseconds, the same one for the same kind and number.
CREATE FUNCTION bench_id(kind text, n int8, at_ms int8) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT (lpad(to_hex(at_ms), 12, '0') || '7' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15))::uuid
       FROM md5(kind || n) AS hash $$;
SET synchronous_commit = off;
