-- Ids in order of time, and partitions for the twelve weeks.
CREATE FUNCTION bench_instant(n int8, rows int8) RETURNS timestamptz LANGUAGE sql STABLE AS
    $$ SELECT now() - interval '12 weeks' * ((rows - n)::float8 / rows) $$;
CREATE FUNCTION bench_first(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::int8), 12, '0') || repeat('0', 20))::uuid $$;
CREATE FUNCTION bench_id(kind text, n int8, rows int8) RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT (lpad(to_hex((extract(epoch FROM bench_instant(n, rows)) * 1000)::int8), 12, '0')
               || '7' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15))::uuid
       FROM md5(kind || n) AS hash $$;
DO $$
DECLARE
    monday timestamptz;
    history text;
BEGIN
    FOR week IN 2..13 LOOP
        monday := (date_trunc('week', now() AT TIME ZONE 'UTC') - week * interval '1 week') AT TIME ZONE 'UTC';
        FOREACH history IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
            EXECUTE format(
                'CREATE TABLE IF NOT EXISTS %s_%s PARTITION OF %s FOR VALUES FROM (%L) TO (%L)',
                history, to_char(monday AT TIME ZONE 'UTC', 'YYYYMMDD'), history,
                bench_first(monday), bench_first(monday + interval '1 week')
            );
        END LOOP;
    END LOOP;
END $$;
ALTER DATABASE CURRENT_DATABASE_NAME SET synchronous_commit = off;
SET synchronous_commit = off;
