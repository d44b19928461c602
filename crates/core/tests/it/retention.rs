//! Retention drops whole weeks, and ends what still waited in them.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use reprise_core::delivery::{DeliveryStatus, ReplayRefusal};
use reprise_core::ids::{DeliveryId, first_uuid_at};
use reprise_core::store::replays::{self, ReplayOrder, Urgency};
use reprise_core::store::{attempts, deliveries, messages, partitions, recording};
use time::{OffsetDateTime, Weekday};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::world::{Account, World, event, settings};

const RETENTION: Duration = Duration::from_hours(90 * 24);
const TABLES: [&str; 3] = ["events", "deliveries", "attempts"];

/// The Monday this many weeks ago.
fn monday(weeks_ago: i64) -> OffsetDateTime {
    let today = OffsetDateTime::now_utc().date();
    let monday = if today.weekday() == Weekday::Monday {
        today
    } else {
        today.prev_occurrence(Weekday::Monday)
    };
    (monday - time::Duration::weeks(weeks_ago))
        .midnight()
        .assume_utc()
}

/// An id from within that week.
fn id_in_week(weeks_ago: i64, n: u128) -> Uuid {
    let middle = monday(weeks_ago) + time::Duration::days(3);
    Uuid::from_u128(first_uuid_at(middle).as_u128() + n)
}

/// The name of a table's partition of that week.
fn name(table: &str, weeks_ago: i64) -> String {
    let date = monday(weeks_ago).date();
    format!(
        "{table}_{:04}{:02}{:02}",
        date.year(),
        u8::from(date.month()),
        date.day()
    )
}

/// Makes the partitions of a week long ago.
async fn make_week(world: &mut World, weeks_ago: i64) {
    let (from, to) = (
        first_uuid_at(monday(weeks_ago)),
        first_uuid_at(monday(weeks_ago - 1)),
    );
    for table in TABLES {
        world
            .sql(&format!(
                "CREATE TABLE {} PARTITION OF {table} FOR VALUES FROM ('{from}') TO ('{to}')",
                name(table, weeks_ago)
            ))
            .await;
    }
}

/// A delivery from that week with its event, pending, and its queue row.
async fn old_delivery(
    world: &mut World,
    account: Account,
    endpoint: reprise_core::ids::EndpointId,
    weeks_ago: i64,
    n: u128,
) -> DeliveryId {
    let new = world.enqueue(account, endpoint, 1).await[0];
    let id = id_in_week(weeks_ago, n);
    world
        .sql(&format!(
            "UPDATE events SET id = '{id}' WHERE id = (SELECT event_id FROM deliveries WHERE id = '{new}');
             UPDATE delivery_queue SET delivery_id = '{id}', attempt_id = '{id}', event_id = '{id}'
                 WHERE delivery_id = '{new}';
             UPDATE deliveries SET id = '{id}', first_delivery_id = '{id}', attempt_id = '{id}', event_id = '{id}'
                 WHERE id = '{new}'"
        ))
        .await;
    DeliveryId::from_uuid(id)
}

/// Records an attempt of the delivery that it was delivered by, and takes it out of the queue.
async fn deliver(world: &mut World, id: DeliveryId) {
    world
        .sql(&format!(
            "INSERT INTO attempts (tenant_id, id, delivery_id, number, started_at, duration_ms, response_status)
                 SELECT tenant_id, attempt_id, id, 1, now(), 1, 200 FROM deliveries WHERE id = '{id}';
             UPDATE deliveries SET status = 'delivered', delivered_at = now(), attempt_count = 1 WHERE id = '{id}';
             DELETE FROM delivery_queue WHERE delivery_id = '{id}'"
        ))
        .await;
}

async fn drop_expired(world: &mut World) -> Vec<String> {
    let mut dropped = partitions::drop_expired(&mut world.conn, RETENTION)
        .await
        .expect("dropped");
    dropped.sort();
    dropped
}

#[tokio::test]
async fn only_weeks_that_are_past_retention_to_their_last_day_are_dropped() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    // 90 days are 12 weeks and 6 days: the week before the 12th has ended 84 to 90 days ago, the one before that more.
    for weeks_ago in [12, 13, 14, 20] {
        make_week(&mut world, weeks_ago).await;
        let id = old_delivery(&mut world, account, endpoint, weeks_ago, 1).await;
        deliver(&mut world, id).await;
    }
    let ended_long_ago = OffsetDateTime::now_utc() - monday(12) >= RETENTION;
    let mut expected: Vec<_> = TABLES
        .iter()
        .flat_map(|table| {
            let mut weeks = vec![14, 20];
            if ended_long_ago {
                weeks.push(13);
            }
            weeks.into_iter().map(|weeks_ago| name(table, weeks_ago))
        })
        .collect();
    expected.sort();
    assert_eq!(drop_expired(&mut world).await, expected);
    let left = if ended_long_ago { 1 } else { 2 };
    for table in TABLES {
        assert_eq!(
            world.number(&format!("SELECT count(*) FROM {table}")).await,
            left,
            "{table}"
        );
    }
    assert!(
        drop_expired(&mut world).await.is_empty(),
        "there is nothing more to drop"
    );
    partitions::keep_ahead(&mut world.conn).await.expect("kept");
    assert!(drop_expired(&mut world).await.is_empty());
}

#[tokio::test]
async fn a_delivery_unfinished_even_then_leaves_the_queue_with_its_partition() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    make_week(&mut world, 20).await;
    old_delivery(&mut world, account, endpoint, 20, 1).await;
    let young = world.enqueue(account, endpoint, 1).await[0];
    assert_eq!(drop_expired(&mut world).await.len(), 3);
    let left = world
        .texts("SELECT delivery_id::text FROM delivery_queue")
        .await;
    assert_eq!(left, [young.to_string()]);
    assert_eq!(
        world.delivery(account, young).await.status,
        DeliveryStatus::Pending
    );
}

#[tokio::test]
async fn a_delivery_whose_next_attempt_has_no_partition_any_more_is_failed_and_says_why() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    make_week(&mut world, 20).await;
    // Made by a machine whose clock is right, its attempt's id by one whose clock was not: nothing else leads here.
    let young = world.enqueue(account, endpoint, 1).await[0];
    let attempt = id_in_week(20, 1);
    world
        .sql(&format!(
            "UPDATE delivery_queue SET attempt_id = '{attempt}'; UPDATE deliveries SET attempt_id = '{attempt}'"
        ))
        .await;
    drop_expired(&mut world).await;
    let delivery = world.delivery(account, young).await;
    assert_eq!(delivery.status, DeliveryStatus::Failed);
    assert_eq!(
        delivery.error_message.as_deref(),
        Some("Not delivered within the retention period")
    );
    assert_eq!(world.number("SELECT count(*) FROM delivery_queue").await, 0);
}

/// A retry whose delivery and event are from a week that is dropped, while its next attempt is from this one.
#[tokio::test]
async fn a_retry_that_outlives_its_delivery_leaves_the_queue_too() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    make_week(&mut world, 20).await;
    let id = old_delivery(&mut world, account, endpoint, 20, 1).await;
    let attempt = reprise_core::ids::AttemptId::new();
    world
        .sql(&format!(
            "UPDATE delivery_queue SET attempt_id = '{attempt}', attempt_number = 2 WHERE delivery_id = '{id}'"
        ))
        .await;
    drop_expired(&mut world).await;
    let gone = deliveries::find(&mut world.conn, account.tenant, id)
        .await
        .expect("read");
    assert!(gone.is_none());
    assert_eq!(
        world.number("SELECT count(*) FROM delivery_queue").await,
        0,
        "nothing can come of it: it would be claimed again and again"
    );
}

#[tokio::test]
async fn a_replay_outlives_its_original() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    make_week(&mut world, 20).await;
    let id = old_delivery(&mut world, account, endpoint, 20, 1).await;
    deliver(&mut world, id).await;
    let order = ReplayOrder {
        delivery_id: id,
        endpoint_id: None,
        urgency: Urgency::Normal,
    };
    let replay = replays::make(&mut world.conn, account.tenant, &order)
        .await
        .expect("stored")
        .expect("enabled");
    let claim = world.claim(1).await.remove(0);
    recording::record(
        &mut world.conn,
        world.dispatcher,
        &[crate::attempts::delivered(&claim)],
    )
    .await
    .expect("recorded");
    assert_eq!(drop_expired(&mut world).await.len(), 3);
    let read = world.delivery(account, replay.id).await;
    assert_eq!(read.replay_of, Some(id));
    assert_eq!(read.first_delivery_id, id);
    assert_eq!(read.status, DeliveryStatus::Delivered);
    let recorded = attempts::list(&mut world.conn, account.tenant, replay.id)
        .await
        .expect("read");
    assert_eq!(recorded.map(|attempts| attempts.len()), Some(1));
    for endpoint_id in [None, Some(read.endpoint_id)] {
        let order = ReplayOrder {
            delivery_id: replay.id,
            endpoint_id,
            urgency: Urgency::Normal,
        };
        let source = replays::find_source(&mut world.conn, account.tenant, &order).await;
        let source = source.expect("readable").expect("there");
        assert_eq!(source.check(), Err(ReplayRefusal::PayloadExpired));
        let made = replays::make(&mut world.conn, account.tenant, &order).await;
        assert!(made.expect("no error").is_none());
    }
    let messages = messages::load_messages(&mut world.conn, &[claim])
        .await
        .expect("read");
    assert!(messages.is_empty());
}

#[tokio::test]
async fn a_table_that_is_being_read_keeps_its_partitions_and_publishing_goes_on() {
    let (mut world, account, _) = World::with_endpoint(settings()).await;
    make_week(&mut world, 20).await;
    let mut backup = world.connect().await;
    backup
        .batch_execute("BEGIN; SELECT count(*) FROM events")
        .await
        .expect("read");
    let mut dropper = world.connect().await;
    let mut dropping = JoinSet::new();
    dropping.spawn(async move { partitions::drop_expired(&mut dropper, RETENTION).await });
    // At worst behind the one that waits for the backup, and well within any client's patience.
    world
        .conn
        .batch_execute("SET lock_timeout = '5s'")
        .await
        .expect("set");
    let dropped = loop {
        world.publish(account, &event(b"{}")).await;
        if let Some(dropped) = dropping.try_join_next() {
            break dropped.expect("no panic").expect("no error");
        }
    };
    assert_eq!(dropped.len(), 2, "all but the one of events: {dropped:?}");
    backup.batch_execute("COMMIT").await.expect("committed");
    assert_eq!(drop_expired(&mut world).await, [name("events", 20)]);
}
