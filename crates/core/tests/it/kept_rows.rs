//! Deleted endpoints and revoked keys stay in their tables, and cost those that are there nothing.

use diesel::dsl::sql;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use reprise_core::display_name::DisplayName;
use reprise_core::endpoint::EndpointStatus;
use reprise_core::ids::{ApiKeyId, EndpointId};
use reprise_core::scope::Scopes;
use reprise_core::store::api_keys::{self, Inserted, NewApiKey};
use reprise_core::store::endpoints::{self, Made, NewEndpoint};

use crate::world::{Account, World, settings};

/// Many more than are there.
const KEPT: usize = 5_000;
/// What may be read for a page of a few rows, and for looking whether there is room for one more.
const FEW: i64 = 100;

/// A connection whose statements get the plan for any value, as those of a program do sooner or later.
async fn counted(world: &mut World) -> AsyncPgConnection {
    world
        .conn
        .batch_execute("VACUUM ANALYZE")
        .await
        .expect("vacuumed");
    let mut conn = world.connect().await;
    conn.batch_execute("SET plan_cache_mode = force_generic_plan; SELECT pg_stat_reset()")
        .await
        .expect("reset");
    conn
}

/// How many rows of a table its session has read since then, in whatever way.
async fn rows_read(conn: &mut AsyncPgConnection, table: &str) -> i64 {
    conn.batch_execute("SELECT pg_stat_force_next_flush(); SELECT pg_stat_clear_snapshot()")
        .await
        .expect("flushed");
    let counters = format!(
        "SELECT (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = '{table}')
              + (SELECT sum(idx_tup_read)::int8 FROM pg_stat_user_indexes WHERE relname = '{table}')"
    );
    let query = sql::<BigInt>(&counters);
    query.get_result(conn).await.expect("read")
}

#[tokio::test]
async fn endpoints_are_listed_and_counted_without_reading_deleted_ones() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world
        .sql(&format!(
            "INSERT INTO endpoints (tenant_id, id, user_id, url, event_patterns, timeout_seconds, custom_headers_sealed,
                                    secret_sealed, secret_hint, signature_scheme, status)
             SELECT tenant_id, gen_random_uuid(), user_id, url, event_patterns, timeout_seconds, custom_headers_sealed,
                    secret_sealed, secret_hint, signature_scheme, 'deleted'
             FROM endpoints, generate_series(1, {KEPT})"
        ))
        .await;
    let mut conn = counted(&mut world).await;
    let Account { tenant, owner } = account;
    let highest = Some(EndpointId::from_uuid(uuid::Uuid::max()));
    for before in [None, highest] {
        let listed = endpoints::list(&mut conn, world.keys(), tenant, before, 50).await;
        let ids: Vec<EndpointId> = listed.expect("read").iter().map(|one| one.id).collect();
        assert_eq!(ids, [endpoint]);
    }
    let new = NewEndpoint {
        id: EndpointId::new(),
        owner,
        settings: settings(),
        status: EndpointStatus::Enabled,
    };
    let made = endpoints::insert(&mut conn, world.keys(), tenant, &new).await;
    assert!(matches!(made, Ok(Made::Endpoint(_))));
    let read = rows_read(&mut conn, "endpoints").await;
    assert!(read < FEW, "{read} rows were read");
}

#[tokio::test]
async fn keys_are_listed_and_counted_without_reading_revoked_ones() {
    let mut world = World::create().await;
    let Account { tenant, owner } = world.account().await;
    world
        .sql(&format!(
            "INSERT INTO api_keys (tenant_id, id, user_id, name, prefix, key_hash, scopes, revoked_at)
             SELECT '{tenant}', gen_random_uuid(), {owner}, 'old', 'rpk_' || n, sha256(n::text::bytea), '{{}}', now()
             FROM generate_series(1, {KEPT}) n"
        ))
        .await;
    let mut conn = counted(&mut world).await;
    let name = DisplayName::parse("new").expect("a name");
    let key = NewApiKey {
        id: ApiKeyId::new(),
        user_id: owner,
        name: &name,
        prefix: "rpk_new",
        key_hash: &[7; 32],
        scopes: &Scopes::all(),
        expires_at: None,
    };
    let kept = api_keys::insert(&mut conn, tenant, &key).await;
    assert!(matches!(kept, Ok(Inserted::At(_))));
    let listed = api_keys::list(&mut conn, tenant, None, 50).await;
    assert_eq!(listed.expect("read").len(), 1);
    let read = rows_read(&mut conn, "api_keys").await;
    assert!(read < FEW, "{read} rows were read");
}
