//! What stays prepared on a connection, and how it is planned: statements that Diesel puts together.

use reprise_core::store::{api_keys, subscriptions};

use crate::world::World;

/// The text of the statements that this connection keeps prepared and that hold these words.
async fn kept(world: &mut World, words: &str) -> Vec<String> {
    world
        .texts(&format!(
            "SELECT statement FROM pg_prepared_statements
             WHERE statement LIKE '%{words}%' AND statement NOT LIKE '%pg_prepared_statements%'"
        ))
        .await
}

#[tokio::test]
async fn looking_for_an_api_key_is_prepared_once() {
    let mut world = World::create().await;
    for _ in 0..2 {
        let found = api_keys::find_by_prefix(&mut world.conn, "rpk_none").await;
        assert!(found.expect("PostgreSQL answers").is_none());
    }
    assert_eq!(kept(&mut world, "key_hash").await.len(), 1);
}

#[tokio::test]
async fn subscriptions_are_read_without_reading_past_deleted_endpoints() {
    let mut world = World::create().await;
    let account = world.account().await;
    let endpoint = world.endpoint(account).await;
    let listed = subscriptions::list(&mut world.conn, account.tenant).await;
    let _ = listed.expect("PostgreSQL answers");
    let kept = kept(&mut world, "endpoints_version").await;
    let [list] = kept.as_slice() else {
        panic!("one statement lists subscriptions: {kept:?}");
    };
    world
        .sql(&format!(
            "INSERT INTO endpoints SELECT (jsonb_populate_record(endpoints, jsonb_build_object(
                 'id', gen_random_uuid(), 'status', 'deleted'))).*
             FROM endpoints, generate_series(1, 5000) WHERE id = '{endpoint}';
             ANALYZE endpoints; ANALYZE tenants; SET plan_cache_mode = force_generic_plan;
             PREPARE planned AS {list}"
        ))
        .await;
    let plan = world
        .texts(&format!(
            "EXPLAIN EXECUTE planned ('{{{}}}')",
            account.tenant
        ))
        .await
        .join("\n");
    assert!(plan.contains("endpoints_present_idx"), "{plan}");
}
