-- A foreign key looks its row up for each delivery, and locks it: 9 µs each, where publishing 32 costs 45 in all. And several
-- APIs that publish to one endpoint write to its row all the time: every second commit made a multixact of their locks. These
-- triggers keep what the key from deliveries to endpoints kept, for 40 to 60 µs a statement and without a lock, which
-- nothing needs: endpoints are never removed, and keep their keys. (What 2026-11-26-000003 says of that key is true of
-- them.) They hold for statements that name the table, as all of ours do: what is written into a partition by its own name
-- is not checked.

SET LOCAL lock_timeout = '5s';
ALTER TABLE deliveries DROP CONSTRAINT deliveries_tenant_id_endpoint_id_fkey;

CREATE FUNCTION check_endpoints_of_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM made
        WHERE NOT EXISTS (SELECT FROM endpoints e WHERE e.tenant_id = made.tenant_id AND e.id = made.endpoint_id)
    ) THEN
        RAISE EXCEPTION 'a delivery names no endpoint of its tenant'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_NAME;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER deliveries_have_an_endpoint AFTER INSERT ON deliveries
    REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION check_endpoints_of_deliveries();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an endpoint and its deliveries stay together'
        USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME;
END
$$;
CREATE TRIGGER deliveries_keep_their_endpoint BEFORE UPDATE OF tenant_id, endpoint_id ON deliveries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER endpoints_keep_their_keys BEFORE UPDATE OF tenant_id, id ON endpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER endpoints_are_never_removed BEFORE DELETE OR TRUNCATE ON endpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
