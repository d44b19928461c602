//! Partitions are there before they are needed, whoever makes them.

use diesel_async::SimpleAsyncConnection;
use reprise_core::store::events::{self, Published};
use reprise_core::store::{partitions, subscriptions};
use time::Duration;
use tokio::task::JoinSet;

use crate::world::{World, begin, commit, event, settings};

/// Names of the partitions of the three tables.
const PARTITIONS: &str = "SELECT inhrelid::regclass::text FROM pg_inherits
     JOIN pg_class ON pg_class.oid = inhparent AND relkind = 'p'
     WHERE inhparent IN ('events'::regclass, 'deliveries'::regclass, 'attempts'::regclass) ORDER BY 1";

async fn drop_all(world: &mut World) {
    for name in world.texts(PARTITIONS).await {
        world.sql(&format!("DROP TABLE {name}")).await;
    }
}

/// Starts of the weeks that must be there now, as they stand in names.
async fn weeks(world: &mut World) -> Vec<String> {
    world
        .texts(
            "SELECT to_char(week, 'YYYYMMDD') FROM generate_series(
                 date_trunc('week', now() AT TIME ZONE 'UTC' - interval '1 week'),
                 now() AT TIME ZONE 'UTC' + interval '2 weeks', interval '1 week') AS week",
        )
        .await
}

#[tokio::test]
async fn partitions_are_made_from_last_week_until_two_weeks_ahead_for_all_three_tables() {
    let mut world = World::create().await;
    drop_all(&mut world).await;
    assert_eq!(
        partitions::remaining(&mut world.conn).await.ok(),
        Some(-Duration::WEEK),
        "publishing can't go on"
    );
    partitions::keep_ahead(&mut world.conn).await.expect("made");
    let made = world.texts(PARTITIONS).await;
    for week in weeks(&mut world).await {
        for table in ["events", "deliveries", "attempts"] {
            let name = format!("{table}_{week}");
            assert!(made.contains(&name), "{name} is missing in {made:?}");
        }
    }
    let remaining = partitions::remaining(&mut world.conn).await.expect("read");
    assert!(
        remaining >= Duration::weeks(2) && remaining <= Duration::weeks(4),
        "{remaining}"
    );
}

#[tokio::test]
async fn a_partition_holds_the_ids_of_its_week_and_no_others() {
    let mut world = World::create().await;
    for name in world.texts(PARTITIONS).await {
        let (_, week) = name.rsplit_once('_').expect("a week in its name");
        let bound = |days| {
            format!(
                "lpad(to_hex((extract(epoch FROM ('{week} 00:00+00'::timestamptz + interval '{days} days')) * 1000)::int8), 12, '0')"
            )
        };
        let uuid = |hex: String| {
            format!("(left({hex}, 8) || '-' || right({hex}, 4) || '-0000-0000-000000000000')")
        };
        let expected = world
            .texts(&format!(
                "SELECT 'FOR VALUES FROM (''' || {} || ''') TO (''' || {} || ''')'",
                uuid(bound(0)),
                uuid(bound(7))
            ))
            .await;
        let found = world
            .texts(&format!(
                "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = '{name}'::regclass"
            ))
            .await;
        assert_eq!(found, expected, "{name}");
    }
}

#[tokio::test]
async fn keeping_ahead_again_changes_nothing() {
    let mut world = World::create().await;
    let before = world.texts(PARTITIONS).await;
    for _ in 0..3 {
        partitions::keep_ahead(&mut world.conn).await.expect("kept");
    }
    assert_eq!(world.texts(PARTITIONS).await, before);
}

#[tokio::test]
async fn one_missing_partition_is_made_beside_those_that_are_there() {
    let mut world = World::create().await;
    let before = world.texts(PARTITIONS).await;
    let last = before
        .iter()
        .rfind(|name| name.starts_with("attempts"))
        .expect("there");
    world.sql(&format!("DROP TABLE {last}")).await;
    // The last week but one may be enough for now; then nothing is made yet.
    world
        .sql(&format!(
            "DROP TABLE {}",
            before
                .iter()
                .filter(|name| name.starts_with("attempts"))
                .nth_back(1)
                .expect("there")
        ))
        .await;
    partitions::keep_ahead(&mut world.conn).await.expect("made");
    let after = world.texts(PARTITIONS).await;
    let missing: Vec<_> = before.iter().filter(|name| !after.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn eight_that_keep_ahead_at_once_make_each_partition_once() {
    let mut world = World::create().await;
    let expected = world.texts(PARTITIONS).await;
    drop_all(&mut world).await;
    let mut makers = JoinSet::new();
    for _ in 0..8 {
        let mut conn = world.connect().await;
        makers.spawn(async move { partitions::keep_ahead(&mut conn).await });
    }
    for made in makers.join_all().await {
        made.expect("made or found");
    }
    assert_eq!(world.texts(PARTITIONS).await, expected);
}

#[tokio::test]
async fn publishing_goes_on_while_partitions_are_made() {
    let (mut world, account, _) = World::with_endpoint(settings()).await;
    let newest: Vec<_> = {
        let mut all = world.texts(PARTITIONS).await;
        all.sort_by_key(|name| name.rsplit_once('_').map(|(_, week)| week.to_owned()));
        all.split_off(all.len() - 6)
    };
    for name in &newest {
        world.sql(&format!("DROP TABLE {name}")).await;
    }
    let subscriptions = subscriptions::list(&mut world.conn, account.tenant)
        .await
        .expect("read");
    // A publish call that is under way does not hold up the making …
    let mut maker = world.connect().await;
    begin(&mut world.conn).await;
    world.publish(account, &event(b"{}")).await;
    maker
        .batch_execute("SET lock_timeout = '5s'")
        .await
        .expect("set");
    begin(&mut maker).await;
    partitions::keep_ahead(&mut maker)
        .await
        .expect("made beside an open publish call");
    // … nor does the making, before its commit, hold up another.
    let mut publisher = world.connect().await;
    publisher
        .batch_execute("SET lock_timeout = '5s'")
        .await
        .expect("set");
    let published = events::publish(
        &mut publisher,
        account.tenant,
        &subscriptions,
        &[event(b"{}")],
    )
    .await
    .expect("published beside uncommitted partitions");
    assert!(matches!(published, Published::Stored { .. }));
    commit(&mut maker).await;
    commit(&mut world.conn).await;
    assert_eq!(world.number("SELECT count(*) FROM events").await, 2);
    let made = world.texts(PARTITIONS).await;
    assert!(newest.iter().all(|name| made.contains(name)));
}
