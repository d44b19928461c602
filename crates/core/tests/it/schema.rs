//! What the schema itself promises, asked of PostgreSQL's catalogue.

use crate::world::World;

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
