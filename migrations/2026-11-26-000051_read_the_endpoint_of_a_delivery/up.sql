-- A foreign key from deliveries to endpoints costs 6 to 10 µs for each delivery, a fifth of what publishing one costs. And it
-- locks the endpoint's row: several APIs that publish to one endpoint write to the same row all the time, and every second
-- commit makes a multixact of their locks. Each of the three statements that make deliveries reads the endpoint by its
-- tenant and id instead: publish.sql, make_replay.sql, insert_direct_event.sql. Endpoints are never removed, which a trigger
-- sees to now, and no statement changes their keys. (What 2026-11-26-000003 says of this key was true until here.)

SET LOCAL lock_timeout = '5s';
ALTER TABLE deliveries DROP CONSTRAINT deliveries_tenant_id_endpoint_id_fkey;

CREATE FUNCTION refuse_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never removed', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = 'Set their status to deleted: history refers to them.';
END
$$;
CREATE TRIGGER endpoints_are_never_removed BEFORE DELETE OR TRUNCATE ON endpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_removal();
