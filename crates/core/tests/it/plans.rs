//! Hot statements use the indexes that were made for them, with the plan that every value gets.

use std::fmt::Write as _;

use diesel_async::SimpleAsyncConnection;
use reprise_core::delivery::DeliveryStatus;
use reprise_core::event_type::EventType;
use reprise_core::ids::DeliveryId;
use reprise_core::store::delivery_lists::{self, DeliveryFilter};
use time::OffsetDateTime;

use crate::world::{Account, World, settings};

const FIND_READY: &str = include_str!("../../src/store/sql/find_ready.sql");
const CLAIM_READY: &str = include_str!("../../src/store/sql/claim_ready.sql");
const CLAIM_EXPRESS: &str = include_str!("../../src/store/sql/claim_express.sql");
const LIST_ATTEMPTS: &str = include_str!("../../src/store/sql/list_attempts.sql");
const PROMOTE_DUE: &str = include_str!("../../src/store/sql/promote_due.sql");
const LOCK_EXPIRED: &str = include_str!("../../src/store/sql/lock_expired.sql");
const RECORD_ATTEMPTS: &str = include_str!("../../src/store/sql/record_attempts.sql");
const SETTLE_DELETED: &str = include_str!("../../src/store/sql/settle_deleted.sql");
const END_LEASES_OF_SILENT: &str = include_str!("../../src/store/sql/end_leases_of_silent.sql");

/// A queue of 20,000 rows over four tenants with ten endpoints each: 18,000 ready, the others waiting.
async fn busy_queue() -> (World, Account) {
    let mut world = World::create().await;
    let mut account = world.account().await;
    for _ in 0..4 {
        account = world.account().await;
        for _ in 0..10 {
            let endpoint = world.endpoint(account).await;
            world.enqueue(account, endpoint, 500).await;
        }
    }
    world
        .sql(
            "UPDATE delivery_queue SET due_at = now() + random() * interval '1 hour'
             WHERE delivery_id IN (SELECT delivery_id FROM delivery_queue ORDER BY random() LIMIT 2000)",
        )
        .await;
    world
        .conn
        .batch_execute("VACUUM ANALYZE")
        .await
        .expect("vacuumed");
    (world, account)
}

/// The generic plan of a statement of the store; `arguments` are any that fit its types.
async fn plan(world: &mut World, statement: &str, types: &str, arguments: &str) -> String {
    world
        .conn
        .batch_execute(&format!(
            "DEALLOCATE ALL; SET plan_cache_mode = force_generic_plan; PREPARE planned ({types}) AS {statement}"
        ))
        .await
        .expect("prepared");
    let lines = world
        .texts(&format!("EXPLAIN EXECUTE planned ({arguments})"))
        .await;
    let mut plan = String::new();
    for line in lines {
        writeln!(plan, "{line}").expect("a string takes everything");
    }
    plan
}

const NONE: &str = "'00000000-0000-0000-0000-000000000000'";

fn assert_no_scan_of_the_queue(plan: &str) {
    assert!(!plan.contains("Seq Scan on delivery_queue"), "{plan}");
}

#[tokio::test]
async fn the_walk_and_the_claim_probe_the_ready_index_alone() {
    let (mut world, _) = busy_queue().await;
    let walk = plan(
        &mut world,
        FIND_READY,
        "uuid, uuid[], uuid[], uuid[], uuid[], int4, int4",
        &format!("{NONE}, '{{}}', '{{}}', '{{}}', '{{}}', 64, 64"),
    )
    .await;
    assert_reads_ready_rows_in_order(&walk, 2);
    let claim = plan(
        &mut world,
        CLAIM_READY,
        "uuid[], uuid[], uuid[], int4[], int8, uuid, int4, uuid",
        &format!("'{{}}', '{{}}', '{{}}', '{{}}', 1000000, {NONE}, 15000, {NONE}"),
    )
    .await;
    assert_reads_ready_rows_in_order(&claim, 1);
}

/// How many blocks a statement reads, with the plan that every value gets. It is done, and undone.
async fn blocks_read(world: &mut World, statement: &str, types: &str, arguments: &str) -> u64 {
    plan(world, statement, types, arguments).await;
    world.conn.batch_execute("BEGIN").await.expect("begun");
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) EXECUTE planned ({arguments})");
    let lines = world.texts(&explain).await;
    world.conn.batch_execute("ROLLBACK").await.expect("undone");
    let line = lines.iter().find(|line| line.contains("Buffers: shared"));
    let counts = line.expect("the whole statement's").split_whitespace();
    counts
        .filter_map(|word| {
            word.strip_prefix("hit=")
                .or_else(|| word.strip_prefix("read="))
        })
        .map(|count| count.parse::<u64>().expect("a number"))
        .sum()
}

#[tokio::test]
async fn a_claim_reads_nothing_of_other_endpoints() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 1).await;
    let behind = world.endpoint(account).await;
    world.enqueue(account, behind, 20_000).await;
    world
        .conn
        .batch_execute("VACUUM ANALYZE")
        .await
        .expect("vacuumed");
    let tenant = account.tenant;
    let blocks = blocks_read(
        &mut world,
        CLAIM_READY,
        "uuid[], uuid[], uuid[], int4[], int8, uuid, int4, uuid",
        &format!("'{{{tenant}}}', '{{{endpoint}}}', ARRAY[{NONE}::uuid], '{{100}}', 1000000, {NONE}, 15000, {NONE}"),
    )
    .await;
    assert!(blocks < 60, "{blocks} blocks for one delivery");
}

/// So many probes of the ready index, whose order needs no sorting, and no row read by another index but by its key.
fn assert_reads_ready_rows_in_order(plan: &str, probe_count: usize) {
    assert_no_scan_of_the_queue(plan);
    let probes = plan.matches("using delivery_queue_ready_idx").count();
    assert_eq!(probes, probe_count, "{plan}");
    assert!(!plan.contains("using delivery_queue_waiting_idx"), "{plan}");
    let by_key = plan.matches("using delivery_queue_pkey").count();
    let whole_keys = plan.matches("(delivery_id = ranked.delivery_id)").count();
    assert_eq!(by_key, whole_keys, "{plan}");
}

#[tokio::test]
async fn the_express_claim_probes_the_express_index_alone() {
    let (mut world, _) = busy_queue().await;
    let plan = plan(
        &mut world,
        CLAIM_EXPRESS,
        "int4, uuid, int4, int4, uuid[], int4[], int4, int4, uuid",
        &format!("8, {NONE}, 15000, 4, '{{}}', '{{}}', 64, 64, {NONE}"),
    )
    .await;
    assert_no_scan_of_the_queue(&plan);
    assert_eq!(
        plan.matches("using delivery_queue_express_idx").count(),
        3,
        "{plan}"
    );
}

#[tokio::test]
async fn attempts_are_listed_by_their_deliveries_however_young_the_table() {
    let mut world = World::create().await;
    let arguments = format!("{NONE}, '{}'", DeliveryId::new());
    let plan = plan(&mut world, LIST_ATTEMPTS, "uuid, uuid", &arguments).await;
    for (table, index) in [
        (" on attempts_", "_tenant_id_delivery_id_id_idx"),
        (" on deliveries_", "_pkey"),
    ] {
        let scans: Vec<&str> = plan.lines().filter(|line| line.contains(table)).collect();
        assert!(!scans.is_empty(), "{plan}");
        assert!(scans.iter().all(|line| line.contains(index)), "{plan}");
    }
}

#[tokio::test]
async fn what_waits_is_found_by_the_waiting_index() {
    let (mut world, _) = busy_queue().await;
    for statement in [PROMOTE_DUE, LOCK_EXPIRED] {
        let plan = plan(&mut world, statement, "int4", "500").await;
        assert_no_scan_of_the_queue(&plan);
        assert!(plan.contains("using delivery_queue_waiting_idx"), "{plan}");
    }
    let plan = plan(&mut world, END_LEASES_OF_SILENT, "int4", "10").await;
    assert_no_scan_of_the_queue(&plan);
    assert!(plan.contains("delivery_queue_waiting_idx"), "{plan}");
}

/// The plan by which results are recorded.
async fn plan_of_recording(world: &mut World) -> String {
    let types = "uuid, text, uuid[], uuid[], uuid[], uuid[], bool[], text[], int8[], uuid[], text[], int4[], text[],
         uuid[], int4[], timestamptz[], int4[], text[], int4[], text[], bytea[], bool[], text[], text[], text[]";
    let arguments = format!("{NONE}, 'nobody'{}", ", '{}'".repeat(23));
    plan(world, RECORD_ATTEMPTS, types, &arguments).await
}

#[tokio::test]
async fn results_are_recorded_by_primary_keys() {
    let (mut world, _) = busy_queue().await;
    let plan = plan_of_recording(&mut world).await;
    assert_no_scan_of_the_queue(&plan);
    for line in plan
        .lines()
        .filter(|line| line.contains("Seq Scan on deliveries_"))
    {
        // Partitions without a row have no use for an index.
        assert!(line.contains("rows=1 "), "{plan}");
    }
}

#[tokio::test]
async fn a_plan_made_before_there_were_any_rows_looks_up_by_keys() {
    let mut world = World::create().await;
    let plan = plan_of_recording(&mut world).await;
    let lookups: Vec<&str> = plan
        .lines()
        .filter(|line| {
            let is_of_a_table = [" on deliveries_", " on delivery_queue ", " on endpoints"];
            line.contains("Scan") && is_of_a_table.iter().any(|table| line.contains(table))
        })
        .collect();
    assert!(lookups.len() > 3, "{plan}");
    assert!(lookups.iter().all(|line| line.contains("_pkey")), "{plan}");
}

#[tokio::test]
async fn settling_a_deleted_endpoint_looks_at_its_own_rows_alone() {
    let (mut world, _) = busy_queue().await;
    let plan = plan(
        &mut world,
        SETTLE_DELETED,
        "uuid, uuid, int4",
        &format!("{NONE}, {NONE}, 1000"),
    )
    .await;
    assert_no_scan_of_the_queue(&plan);
    for index in ["ready", "express", "kept"] {
        assert!(
            plan.contains(&format!("delivery_queue_{index}_idx")),
            "{index}: {plan}"
        );
    }
}

/// A history of two weeks: 32,000 deliveries to eight endpoints, of eight types, half of each week; one in fifty has
/// failed.
async fn history() -> (World, Account) {
    let mut world = World::create().await;
    let account = world.account().await;
    for number in 0..8 {
        let endpoint = world.endpoint(account).await;
        world.enqueue(account, endpoint, 4_000).await;
        world
            .sql(&format!(
                "UPDATE deliveries SET event_type = 'type.{number}' WHERE endpoint_id = '{endpoint}'"
            ))
            .await;
    }
    world
        .sql(
            "DELETE FROM delivery_queue;
             UPDATE deliveries SET status = 'delivered', delivered_at = now() WHERE left(md5(id::text), 2) > '04';
             UPDATE deliveries SET status = 'failed', unsuccessful_status = 'failed' WHERE status = 'pending';
             CREATE TEMP TABLE old ON COMMIT DROP AS
                 SELECT * FROM deliveries WHERE right(id::text, 1) < '8';
             -- The same ids, a week earlier: the first 48 bits are milliseconds.
             UPDATE old SET created_at = created_at - interval '1 week', id = (left(hex, 8) || '-' || right(hex, 4) || substr(id::text, 14))::uuid
                 FROM (SELECT id AS was, lpad(to_hex(('x' || replace(left(id::text, 13), '-', ''))::bit(48)::int8 - 604800000), 12, '0') AS hex
                       FROM old) moved
                 WHERE was = old.id;
             UPDATE old SET first_delivery_id = id;
             DELETE FROM deliveries WHERE right(id::text, 1) < '8';
             INSERT INTO deliveries SELECT * FROM old",
        )
        .await;
    world
        .conn
        .batch_execute("VACUUM ANALYZE")
        .await
        .expect("vacuumed");
    (world, account)
}

/// Runs a list query and says which indexes of `deliveries` it has read, and how many partitions.
async fn read_by(world: &World, account: Account, filter: &DeliveryFilter) -> (Vec<String>, usize) {
    // On a connection of its own, so that the counters that are sent are this query's alone.
    let mut conn = world.connect().await;
    let counters = "SELECT array_to_string(array[parent.relname, stats.relname], ' ')
         FROM pg_stat_user_indexes stats
         JOIN pg_inherits ON inhrelid = indexrelid JOIN pg_class parent ON parent.oid = inhparent
         WHERE stats.relname LIKE 'deliveries_%' AND idx_scan > 0";
    conn.batch_execute("SELECT pg_stat_reset()")
        .await
        .expect("reset");
    let listed = delivery_lists::list(&mut conn, account.tenant, filter, None, 20)
        .await
        .expect("read");
    assert_eq!(listed.items.len(), 20);
    conn.batch_execute("SELECT pg_stat_force_next_flush(); SELECT pg_stat_clear_snapshot()")
        .await
        .expect("flushed");
    let used: Vec<String> = diesel_async::RunQueryDsl::load(
        diesel::dsl::sql::<diesel::sql_types::Text>(counters),
        &mut conn,
    )
    .await
    .expect("read");
    let scanned: i64 = diesel_async::RunQueryDsl::get_result(
        diesel::dsl::sql::<diesel::sql_types::BigInt>(
            "SELECT coalesce(sum(seq_tup_read), 0)::int8 FROM pg_stat_user_tables WHERE relname LIKE 'deliveries_%'",
        ),
        &mut conn,
    )
    .await
    .expect("read");
    assert_eq!(scanned, 0, "a partition was read from end to end");
    let read: i64 = diesel_async::RunQueryDsl::get_result(
        diesel::dsl::sql::<diesel::sql_types::BigInt>(
            "SELECT coalesce(sum(idx_tup_read), 0)::int8 FROM pg_stat_user_indexes WHERE relname LIKE 'deliveries_%'",
        ),
        &mut conn,
    )
    .await
    .expect("read");
    assert!(
        read <= 1_600,
        "{read} rows of indexes were read for one page"
    );
    let mut indexes = Vec::new();
    let mut partitions = std::collections::HashSet::new();
    for line in used {
        let (index, partition) = line.split_once(' ').expect("two words");
        indexes.push(index.to_owned());
        partitions.insert(partition.to_owned());
    }
    indexes.sort();
    indexes.dedup();
    (indexes, partitions.len())
}

/// Blocks that were read so far of the index by types.
async fn blocks_of_types(world: &mut World) -> i64 {
    world
        .conn
        .batch_execute("SELECT pg_stat_force_next_flush(); SELECT pg_stat_clear_snapshot()")
        .await
        .expect("flushed");
    world
        .number(
            "SELECT coalesce(sum(idx_blks_read + idx_blks_hit), 0)::int8 FROM pg_statio_user_indexes
             WHERE indexrelname LIKE 'deliveries_%type%'",
        )
        .await
}

#[tokio::test]
async fn deliveries_are_listed_by_the_index_of_what_they_are_filtered_by() {
    let (mut world, account) = history().await;
    let endpoint = world
        .texts("SELECT endpoint_id::text FROM deliveries LIMIT 1")
        .await[0]
        .parse()
        .expect("an id");
    let by_endpoint = DeliveryFilter {
        endpoint_id: Some(endpoint),
        ..DeliveryFilter::default()
    };
    let failed = DeliveryFilter {
        status: Some(DeliveryStatus::Failed),
        ..DeliveryFilter::default()
    };
    let failed_there = DeliveryFilter {
        endpoint_id: Some(endpoint),
        ..failed.clone()
    };
    let by_type = DeliveryFilter {
        event_type: Some(EventType::parse("type.3").expect("a type")),
        ..DeliveryFilter::default()
    };
    // A type that comes after all others in the index, and once: what lies before it is not read.
    let rare = DeliveryFilter {
        event_type: Some(EventType::parse("type.rare").expect("a type")),
        ..DeliveryFilter::default()
    };
    world
        .sql("UPDATE deliveries SET event_type = 'type.rare' WHERE id = (SELECT max(id::text)::uuid FROM deliveries)")
        .await;
    let before = blocks_of_types(&mut world).await;
    let page = delivery_lists::list(&mut world.conn, account.tenant, &rare, None, 20).await;
    assert_eq!(page.expect("read").items.len(), 1);
    let read = blocks_of_types(&mut world).await - before;
    assert!(read < 40, "{read} blocks of the index for one delivery");
    for (filter, index) in [
        (DeliveryFilter::default(), "deliveries_pkey"),
        (by_endpoint, "deliveries_endpoint_idx"),
        (by_type, "deliveries_type_idx"),
        (failed, "deliveries_unsuccessful_idx"),
        (failed_there, "deliveries_endpoint_unsuccessful_idx"),
    ] {
        let (indexes, _) = read_by(&world, account, &filter).await;
        assert_eq!(indexes, [index]);
        // A bound on the time leaves the other weeks alone: one partition is read, or two around midnight on Sunday.
        let recent = DeliveryFilter {
            created_after: Some(OffsetDateTime::now_utc() - time::Duration::minutes(10)),
            created_before: Some(OffsetDateTime::now_utc() + time::Duration::minutes(10)),
            ..filter
        };
        let (indexes, partitions) = read_by(&world, account, &recent).await;
        assert_eq!(indexes, [index]);
        assert!(partitions <= 2, "{partitions} partitions were read");
    }
}
