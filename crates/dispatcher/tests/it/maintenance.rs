//! Maintenance as the program does it: what keeps a database of the right size while dispatchers run.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};
use reprise_core::endpoint::Endpoint;
use reprise_core::ids::first_uuid_at;
use reprise_core::signing::{RotationRefusal, SigningSecret};
use reprise_core::store::endpoints::{OverlapLength, rotate_secret};
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Dispatcher;
use reprise_testkit::polling::poll_until;
use time::{OffsetDateTime, Weekday};

use crate::world::{PATIENCE, World, settings};

const TABLES: [&str; 3] = ["events", "deliveries", "attempts"];

/// The Monday this many weeks ago, or ahead.
fn monday(weeks_ago: i64) -> OffsetDateTime {
    let tomorrow = OffsetDateTime::now_utc().date() + time::Duration::DAY;
    let monday = tomorrow.prev_occurrence(Weekday::Monday);
    (monday - time::Duration::weeks(weeks_ago))
        .midnight()
        .assume_utc()
}

/// The name of a table's partition of that week.
fn partition(table: &str, weeks_ago: i64) -> String {
    let (year, month, day) = monday(weeks_ago).date().to_calendar_date();
    format!("{table}_{year:04}{:02}{day:02}", u8::from(month))
}

async fn sql(world: &World, statement: &str) {
    let done = world.conn().await.batch_execute(statement).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// The partitions of that week that are there.
async fn partitions(world: &World, weeks_ago: i64) -> Vec<String> {
    let mut there = Vec::new();
    for table in TABLES {
        let name = partition(table, weeks_ago);
        let query = format!("SELECT coalesce(to_regclass('{name}')::text, '') AS text");
        there.extend(
            texts(world, &query)
                .await
                .into_iter()
                .filter(|name| !name.is_empty()),
        );
    }
    there
}

/// The column `text` of a query.
async fn texts(world: &World, query: &str) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        text: String,
    }
    let rows: Vec<Row> = diesel::sql_query(query)
        .load(&mut *world.conn().await)
        .await
        .expect("rows");
    rows.into_iter().map(|row| row.text).collect()
}

/// Makes the partitions of a week long ago.
async fn make_week(world: &World, weeks_ago: i64) {
    let (from, to) = (
        first_uuid_at(monday(weeks_ago)),
        first_uuid_at(monday(weeks_ago - 1)),
    );
    for table in TABLES {
        let name = partition(table, weeks_ago);
        let create = format!(
            "CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('{from}') TO ('{to}')"
        );
        sql(world, &create).await;
    }
}

/// Leaves of the weeks to come the next one.
async fn drop_weeks_ahead(world: &World) {
    for week in [-2, -3] {
        for table in TABLES {
            sql(
                world,
                &format!("DROP TABLE IF EXISTS {}", partition(table, week)),
            )
            .await;
        }
        assert_eq!(partitions(world, week).await, [""; 0]);
    }
}

/// Keeps the answer to a keyed request of so many hours ago; its key is that number.
async fn make_key(world: &World, hours_ago: u32) {
    let tenant = world.tenant_id;
    let insert = format!(
        "INSERT INTO idempotency_keys (tenant_id, key, method, path, fingerprint, response_body, created_at)
         VALUES ('{tenant}', '{hours_ago}', 'POST', '/', sha256(''), '', now() - interval '{hours_ago} hours')"
    );
    sql(world, &insert).await;
}

/// The keys that are left.
async fn keys(world: &World) -> Vec<String> {
    texts(
        world,
        "SELECT key AS text FROM idempotency_keys ORDER BY key",
    )
    .await
}

/// Waits until a dispatcher has kept house: forgetting old keys comes last.
async fn wait_for_house_keeping(world: &World) {
    let kept = poll_until(PATIENCE, async || {
        (keys(world).await == ["23"]).then_some(())
    });
    kept.await
        .expect("old keys are forgotten, and young ones are not");
}

#[tokio::test]
async fn dispatcher_drops_expired_weeks_makes_coming_ones_and_forgets_old_keys() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    make_week(&world, 20).await;
    make_week(&world, 10).await;
    drop_weeks_ahead(&world).await;
    make_key(&world, 25).await;
    make_key(&world, 23).await;

    let _dispatcher = Dispatcher::start(database.url()).await;
    wait_for_house_keeping(&world).await;
    assert_eq!(
        partitions(&world, 20).await,
        [""; 0],
        "ninety days are over"
    );
    assert_eq!(partitions(&world, 10).await.len(), 3);
    assert_eq!(partitions(&world, -2).await.len(), 3, "two weeks ahead");
}

#[tokio::test]
async fn retention_is_as_long_as_the_operator_says() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    make_week(&world, 20).await;
    make_week(&world, 40).await;
    make_key(&world, 25).await;
    make_key(&world, 23).await;
    let environment = [("REPRISE_RETENTION_DAYS", "200")];
    let _dispatcher = Dispatcher::start_with(database.url(), &environment).await;
    wait_for_house_keeping(&world).await;
    assert_eq!(partitions(&world, 20).await.len(), 3);
    assert_eq!(partitions(&world, 40).await, [""; 0]);
}

#[tokio::test]
async fn secret_whose_overlap_has_ended_is_forgotten() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let endpoint = world.endpoint(&settings("http://127.0.0.1:18080/")).await;
    let overlap = OverlapLength {
        length: Duration::from_hours(1),
        is_asked_for: true,
    };
    let make = |endpoint: &Endpoint| {
        Ok::<_, RotationRefusal>(SigningSecret::generate_for(&endpoint.settings.signature))
    };
    let (keys, tenant) = (&world.keys, world.tenant_id);
    rotate_secret(
        &mut *world.conn().await,
        keys,
        tenant,
        endpoint,
        overlap,
        make,
    )
    .await
    .expect("rotated");
    let previous =
        "SELECT id::text AS text FROM endpoints WHERE previous_secret_sealed IS NOT NULL";
    assert_eq!(texts(&world, previous).await.len(), 1);
    sql(
        &world,
        "UPDATE endpoints SET previous_secret_expires_at = now() - interval '1 second'",
    )
    .await;
    let _dispatcher = Dispatcher::start(database.url()).await;
    let forgotten = poll_until(PATIENCE, async || {
        texts(&world, previous).await.is_empty().then_some(())
    });
    forgotten
        .await
        .expect("it is not kept longer than it signs");
}
