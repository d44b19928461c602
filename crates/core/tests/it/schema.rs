//! What the schema itself promises, asked of PostgreSQL's catalogue.

use diesel_async::SimpleAsyncConnection;
use reprise_core::delivery::DeliveryStatus;

use crate::world::{World, settings};

/// The tables of a migrated database, partitions and Diesel's own left out.
const TABLES: &str = "SELECT relname::text FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
       AND relname <> '__diesel_schema_migrations'";

/// Tables with a `tenant_id` that is deliberately no foreign key: one would cost time on the hottest path, and keep the
/// queue from staying a plain table when the history is distributed. The tests of consistency stand in for them; of
/// deliveries triggers keep what a key would.
const WITHOUT_FOREIGN_KEY: [&str; 4] = ["attempts", "deliveries", "delivery_queue", "events"];

#[tokio::test]
async fn each_tenant_id_has_a_foreign_key_and_leads_the_primary_key() {
    let mut world = World::create().await;
    let owned = world
        .texts(&format!(
            "{TABLES} AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'tenant_id')
             ORDER BY 1"
        ))
        .await;
    assert_eq!(owned.len(), 9, "{owned:?}");
    for table in owned {
        // Of the table itself, or composite to a table that has one: (tenant_id, x) of a row that belongs to a tenant.
        let keys = world
            .number(&format!(
                "SELECT count(*) FROM pg_constraint
                 JOIN pg_attribute ON attrelid = conrelid AND attname = 'tenant_id' AND attnum = conkey[1]
                 WHERE conrelid = '{table}'::regclass AND contype = 'f'"
            ))
            .await;
        let expected = !WITHOUT_FOREIGN_KEY.contains(&table.as_str());
        assert_eq!(
            keys > 0,
            expected,
            "{table}: {keys} foreign keys on tenant_id"
        );
        let leading = world
            .number(&format!(
                "SELECT count(*) FROM pg_index
                 JOIN pg_attribute ON attrelid = indrelid AND attname = 'tenant_id' AND attnum = indkey[0]
                 WHERE indrelid = '{table}'::regclass AND indisprimary"
            ))
            .await;
        assert_eq!(
            leading, 1,
            "{table}'s primary key does not begin with tenant_id"
        );
    }
}

#[tokio::test]
async fn every_foreign_key_to_a_tenants_table_names_the_tenant_and_has_an_index() {
    let mut world = World::create().await;
    let wrong = world
        .texts(
            "SELECT conrelid::regclass || ': ' || pg_get_constraintdef(oid) FROM pg_constraint
             WHERE contype = 'f' AND conparentid = 0 AND confrelid <> 'tenants'::regclass
               AND pg_get_constraintdef(oid) NOT LIKE 'FOREIGN KEY (tenant_id, %) REFERENCES %(tenant_id, id)%'",
        )
        .await;
    assert!(wrong.is_empty(), "{wrong:?}");
    let slow = world
        .texts(
            "SELECT conrelid::regclass || ': ' || conname FROM pg_constraint
             WHERE contype = 'f' AND conparentid = 0 AND NOT EXISTS (
                 SELECT FROM pg_index WHERE indrelid = conrelid
                   -- The same columns first, in whatever order.
                   AND (string_to_array(indkey::text, ' ')::int2[])[1:cardinality(conkey)] @> conkey)",
        )
        .await;
    assert!(slow.is_empty(), "without an index: {slow:?}");
}

#[tokio::test]
async fn no_foreign_key_ties_the_history_together_or_the_queue_to_it() {
    let mut world = World::create().await;
    let tied = world
        .texts(
            "SELECT conrelid::regclass || ' to ' || confrelid::regclass FROM pg_constraint
             WHERE contype = 'f'
               AND (confrelid = ANY (ARRAY['events', 'deliveries', 'attempts', 'delivery_queue']::regclass[])
                    OR conrelid = 'delivery_queue'::regclass)",
        )
        .await;
    assert!(tied.is_empty(), "{tied:?}");
}

#[tokio::test]
async fn every_table_says_what_it_is() {
    let mut world = World::create().await;
    let silent = world
        .texts(&format!(
            "{TABLES} AND obj_description(oid, 'pg_class') IS NULL"
        ))
        .await;
    assert!(silent.is_empty(), "without a COMMENT: {silent:?}");
}

#[tokio::test]
async fn the_history_is_partitioned_and_has_no_default_partition() {
    let mut world = World::create().await;
    let partitioned = world
        .texts("SELECT partrelid::regclass::text FROM pg_partitioned_table ORDER BY 1")
        .await;
    assert_eq!(partitioned, ["attempts", "deliveries", "events"]);
    let defaults = world
        .number("SELECT count(*) FROM pg_partitioned_table WHERE partdefid <> 0")
        .await;
    assert_eq!(defaults, 0);
}

#[tokio::test]
async fn every_partition_has_the_indexes_and_checks_of_its_table() {
    let mut world = World::create().await;
    let lacking = world
        .texts(
            "SELECT inhrelid::regclass || ' lacks something of ' || inhparent::regclass
             FROM pg_inherits JOIN pg_partitioned_table ON partrelid = inhparent
             WHERE (SELECT count(*) FROM pg_index WHERE indrelid = inhrelid AND indisvalid)
                <> (SELECT count(*) FROM pg_index WHERE indrelid = inhparent AND indisvalid)
                OR (SELECT count(*) FROM pg_constraint WHERE conrelid = inhrelid)
                <> (SELECT count(*) FROM pg_constraint WHERE conrelid = inhparent)",
        )
        .await;
    assert!(lacking.is_empty(), "{lacking:?}");
}

#[tokio::test]
async fn the_queue_is_vacuumed_early_and_without_pauses() {
    let mut world = World::create().await;
    let options = world
        .texts("SELECT unnest(reloptions) FROM pg_class WHERE relname = 'delivery_queue'")
        .await;
    for option in [
        "autovacuum_vacuum_scale_factor=0.0",
        "autovacuum_vacuum_threshold=5000",
        "autovacuum_vacuum_insert_scale_factor=0.0",
        "autovacuum_analyze_scale_factor=0.0",
        "autovacuum_vacuum_cost_delay=0",
    ] {
        assert!(
            options.iter().any(|found| found == option),
            "{option} not in {options:?}"
        );
    }
}

/// Whether PostgreSQL refuses a statement, and by which constraint.
async fn refused(world: &mut World, statement: &str) -> Option<String> {
    match world.conn.batch_execute(statement).await {
        Ok(()) => None,
        Err(diesel::result::Error::DatabaseError(_, information)) => Some(
            information
                .constraint_name()
                .unwrap_or("no constraint")
                .to_owned(),
        ),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_status_that_nobody_knows_is_refused() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 1).await;
    let by = refused(&mut world, "UPDATE deliveries SET status = 'vanished'").await;
    assert_eq!(by.as_deref(), Some("deliveries_status_check"));
    let by = refused(&mut world, "UPDATE endpoints SET status = 'vanished'").await;
    assert_eq!(by.as_deref(), Some("endpoints_status_check"));
    // What is read from a lease is not stored; all others are, with what belongs to them.
    for status in DeliveryStatus::ALL {
        let by = refused(
            &mut world,
            &format!(
                "UPDATE deliveries SET status = '{status}',
                 unsuccessful_status = CASE WHEN '{status}' IN ('failed', 'canceled', 'skipped') THEN '{status}' END,
                 delivered_at = CASE WHEN '{status}' = 'delivered' THEN now() END,
                 next_retry_at = CASE WHEN '{status}' = 'retrying' THEN now() END"
            ),
        )
        .await;
        assert_eq!(
            by.is_some(),
            status == DeliveryStatus::Delivering,
            "{status}: {by:?}"
        );
    }
}

#[tokio::test]
async fn a_row_that_contradicts_itself_is_refused() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 1).await;
    for (contradiction, constraint) in [
        (
            "UPDATE deliveries SET status = 'delivered'",
            "deliveries_status_check",
        ),
        (
            "UPDATE deliveries SET delivered_at = now()",
            "deliveries_status_check",
        ),
        (
            "UPDATE deliveries SET next_retry_at = now()",
            "deliveries_status_check",
        ),
        (
            "UPDATE deliveries SET status = 'retrying'",
            "deliveries_status_check",
        ),
        (
            "UPDATE deliveries SET status = 'failed'",
            "deliveries_status_check",
        ),
        (
            "UPDATE deliveries SET unsuccessful_status = 'failed'",
            "deliveries_status_check",
        ),
        (
            "UPDATE deliveries SET status = 'vanished', unsuccessful_status = 'vanished'",
            "unsuccessful_status_check",
        ),
        (
            "UPDATE deliveries SET status = 'failed', unsuccessful_status = 'failed', delivered_at = now()",
            "deliveries_one_status_check",
        ),
        (
            "UPDATE deliveries SET status = 'delivered', delivered_at = now(), next_retry_at = now()",
            "deliveries_one_status_check",
        ),
        (
            "UPDATE deliveries SET attempt_count = -1",
            "non_negative_check",
        ),
        (
            "UPDATE deliveries SET status = 'delivered', delivered_at = now(), final_http_status = 1000",
            "http_status_check",
        ),
        (
            "UPDATE deliveries SET final_http_status = 200",
            "deliveries_final_http_status_check",
        ),
        (
            "UPDATE deliveries SET first_delivery_id = gen_random_uuid()",
            "deliveries_first_delivery_check",
        ),
        (
            "UPDATE deliveries SET replay_of_delivery_id = gen_random_uuid()",
            "deliveries_first_delivery_check",
        ),
        (
            "UPDATE endpoints SET status = 'disabled'",
            "endpoints_check",
        ),
        (
            "UPDATE endpoints SET disabled_reason = 'none'",
            "endpoints_check",
        ),
        (
            "UPDATE endpoints SET signature_header = 'X-Signature'",
            "endpoints_check1",
        ),
        (
            "UPDATE endpoints SET event_patterns = array_fill('a'::text, ARRAY[101])",
            "endpoints_event_patterns_number_check",
        ),
        (
            "DELETE FROM endpoints",
            "endpoints_are_never_removed",
        ),
        (
            "TRUNCATE endpoints CASCADE",
            "endpoints_are_never_removed",
        ),
        (
            "UPDATE delivery_queue SET lease_token = gen_random_uuid()",
            "delivery_queue_check",
        ),
        (
            "UPDATE delivery_queue SET lease_token = gen_random_uuid(), leased_by = gen_random_uuid(), leased_at = now()",
            "delivery_queue_check1",
        ),
        (
            "UPDATE delivery_queue SET attempt_number = 0",
            "delivery_queue_attempt_number_check",
        ),
        (
            "UPDATE delivery_queue SET payload_bytes = -1",
            "delivery_queue_payload_bytes_check",
        ),
        (
            "UPDATE events SET event_type = ''",
            "event_type_check",
        ),
        (
            "UPDATE events SET payload = convert_to(repeat('a', 1048577), 'UTF8')",
            "event_payload_check",
        ),
        (
            "INSERT INTO attempts (tenant_id, id, delivery_id, number, started_at, duration_ms)
             SELECT tenant_id, attempt_id, id, 0, now(), 0 FROM deliveries",
            "attempt_number_check",
        ),
        (
            "INSERT INTO attempts (tenant_id, id, delivery_id, number, started_at, duration_ms)
             SELECT tenant_id, attempt_id, id, 1, now(), -1 FROM deliveries",
            "non_negative_check",
        ),
        (
            "INSERT INTO attempts (tenant_id, id, delivery_id, number, started_at, duration_ms, response_status)
             SELECT tenant_id, attempt_id, id, 1, now(), 0, 99 FROM deliveries",
            "http_status_check",
        ),
        (
            "INSERT INTO attempts (tenant_id, id, delivery_id, number, started_at, duration_ms, response_body)
             SELECT tenant_id, attempt_id, id, 1, now(), 0, convert_to(repeat('a', 16385), 'UTF8') FROM deliveries",
            "response_body_check",
        ),
    ] {
        let by = refused(&mut world, contradiction).await;
        assert_eq!(by.as_deref(), Some(constraint), "{contradiction}");
    }
    // What is refused above is refused for what contradicts.
    for sound in [
        "INSERT INTO attempts (tenant_id, id, delivery_id, number, started_at, duration_ms, response_status, response_body)
         SELECT tenant_id, attempt_id, id, 1, now(), 0, 100, convert_to(repeat('a', 16384), 'UTF8') FROM deliveries",
        "UPDATE events SET event_type = repeat('a', 128), payload = convert_to(repeat('a', 1048576), 'UTF8')",
        "UPDATE deliveries SET status = 'failed', unsuccessful_status = 'failed', final_http_status = 999",
    ] {
        assert_eq!(refused(&mut world, sound).await, None, "{sound}");
    }
}

#[tokio::test]
async fn a_row_can_refer_to_rows_of_its_own_tenant_only() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let stranger = world.account().await;
    let foreign = world.endpoint(stranger).await;
    world.enqueue(account, endpoint, 1).await;
    for (statement, key) in [
        (format!("UPDATE deliveries SET endpoint_id = '{foreign}'"), "deliveries_keep_their_endpoint"),
        (
            format!(
                "INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, user_id, event_type, status, attempt_id,
                                         first_delivery_id)
                 SELECT tenant_id, attempt_id, '{foreign}', event_id, user_id, event_type, 'pending', attempt_id, attempt_id
                 FROM deliveries"
            ),
            "deliveries_have_an_endpoint",
        ),
        (format!("UPDATE endpoints SET id = gen_random_uuid() WHERE id = '{endpoint}'"), "endpoints_keep_their_keys"),
        (format!("UPDATE endpoints SET user_id = {} WHERE id = '{endpoint}'", stranger.owner), "endpoints_tenant_id_user_id_fkey"),
        (
            format!(
                "INSERT INTO api_keys (tenant_id, id, user_id, name, prefix, key_hash, scopes)
                 VALUES ('{}', gen_random_uuid(), {}, 'key', 'prefix', decode(repeat('00', 32), 'hex'), '{{}}')",
                account.tenant, stranger.owner
            ),
            "api_keys_tenant_id_user_id_fkey",
        ),
        (
            format!(
                "INSERT INTO endpoint_limits (tenant_id, endpoint_id) VALUES ('{}', '{foreign}')",
                account.tenant
            ),
            "endpoint_limits_tenant_id_endpoint_id_fkey",
        ),
    ] {
        let by = refused(&mut world, &statement).await;
        assert_eq!(by.as_deref(), Some(key), "{statement}");
    }
}
