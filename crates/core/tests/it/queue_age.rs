//! Since when deliveries are ready, and how old the oldest one is.

use std::time::Duration;

use reprise_core::ids::first_uuid_at;
use reprise_core::store::delivery_queue::{self, OldestReady};
use time::OffsetDateTime;

use crate::attempts::retried;
use crate::world::{World, settings};

async fn oldest(world: &mut World) -> OldestReady {
    delivery_queue::oldest_ready(&mut world.conn)
        .await
        .expect("looked for")
}

/// Makes all deliveries in the queue as old as this, by their ids.
async fn make_old(world: &mut World, age: time::Duration) {
    let first = first_uuid_at(OffsetDateTime::now_utc() - age).to_string();
    let moved = format!(
        "UPDATE delivery_queue SET delivery_id = (substr('{first}', 1, 18) || substr(delivery_id::text, 19))::uuid"
    );
    world.sql(&moved).await;
}

fn is_about(age: Duration, minutes: u64) -> bool {
    let expected = Duration::from_mins(minutes);
    age >= expected && age < expected + Duration::from_mins(10)
}

#[tokio::test]
async fn the_oldest_ready_delivery_is_told_by_what_it_waits_for() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    assert_eq!(oldest(&mut world).await, OldestReady::default());
    world.enqueue(account, endpoint, 3).await;
    make_old(&mut world, time::Duration::hours(1)).await;
    let younger = world.endpoint(account).await;
    world.enqueue(account, younger, 1).await;
    let found = oldest(&mut world).await;
    assert!(is_about(found.free, 60), "{found:?}");
    assert_eq!((found.limited, found.circuit), Default::default());

    world
        .sql("UPDATE endpoints SET max_in_flight = 1 WHERE id = (SELECT min(id::text)::uuid FROM endpoints)")
        .await;
    let found = oldest(&mut world).await;
    assert!(
        is_about(found.limited, 60) && is_about(found.free, 0),
        "{found:?}"
    );
    world
        .sql("UPDATE endpoints SET circuit_opened_at = now()")
        .await;
    let found = oldest(&mut world).await;
    assert!(is_about(found.circuit, 60), "{found:?}");
    assert_eq!((found.limited, found.free), Default::default());
}

#[tokio::test]
async fn a_retry_is_ready_since_its_time_has_come_and_not_since_its_delivery_was_made() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 1).await;
    make_old(&mut world, time::Duration::hours(5)).await;
    let claims = world.claim(1).await;
    assert_eq!(claims[0].ready_at, None);
    let age = OffsetDateTime::now_utc() - claims[0].ready_since();
    assert!(age >= time::Duration::hours(5), "{age}");

    let retry = retried(&claims[0], Duration::from_secs(60));
    let recorded =
        reprise_core::store::recording::record(&mut world.conn, world.dispatcher, &[retry]).await;
    assert_eq!(recorded.expect("recorded").len(), 1);
    // It has waited for hours, and its time has come just now.
    world
        .sql("UPDATE delivery_queue SET due_at = now(), ready_at = now() - interval '3 hours'")
        .await;
    let promoted = delivery_queue::promote_due(&mut world.conn, 10).await;
    assert_eq!(promoted.ok(), Some(1));
    let found = oldest(&mut world).await;
    assert!(
        is_about(found.free, 0) && !found.free.is_zero(),
        "{found:?}"
    );
    let claims = world.claim(1).await;
    let age = OffsetDateTime::now_utc() - claims[0].ready_since();
    assert!(age < time::Duration::hours(1), "{age}");
    assert_eq!(claims[0].attempt_number, 2);
}

#[tokio::test]
async fn what_an_enabled_endpoint_gets_back_is_ready_since_then() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 2).await;
    make_old(&mut world, time::Duration::hours(5)).await;
    world
        .sql("UPDATE delivery_queue SET due_at = 'infinity'; UPDATE endpoints SET unsettled_since = now()")
        .await;
    let settled = reprise_core::store::settling::settle_one(&mut world.conn).await;
    settled.expect("settled");
    let found = oldest(&mut world).await;
    assert!(
        is_about(found.free, 0) && !found.free.is_zero(),
        "{found:?}"
    );
}

#[tokio::test]
async fn depth_tells_what_is_kept_back_and_what_is_express() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 6).await;
    world
        .sql("UPDATE delivery_queue SET due_at = 'infinity' WHERE delivery_id IN (SELECT delivery_id FROM delivery_queue LIMIT 3);
              UPDATE delivery_queue SET express = true WHERE delivery_id IN (SELECT delivery_id FROM delivery_queue WHERE due_at IS NULL LIMIT 1)")
        .await;
    let depth = delivery_queue::depth(&mut world.conn)
        .await
        .expect("counted");
    assert_eq!(
        (depth.ready, depth.express, depth.waiting, depth.kept_back),
        (2, 1, 0, 3)
    );
}
