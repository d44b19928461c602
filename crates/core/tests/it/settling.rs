//! Settling: the queue follows the status of endpoints, behind the request's back.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use reprise_core::delivery::DeliveryStatus;
use reprise_core::endpoint::EndpointStatus;
use reprise_core::store::settling::{self, Settled};
use reprise_core::store::{delivery_queue, lost, recording};

use crate::attempts::retried;
use crate::world::{Account, World, disabled, settings};

/// Settles until nothing is left to do now, and returns how many rows each step moved.
async fn settle(world: &mut World) -> Vec<i64> {
    let mut moved = Vec::new();
    while let Settled::Moved(count) = settling::settle_one(&mut world.conn)
        .await
        .expect("settled")
    {
        moved.push(count);
        assert!(moved.len() < 100, "it does not end");
    }
    moved
}

async fn unsettled(world: &mut World) -> i64 {
    world
        .number("SELECT count(*) FROM endpoints WHERE unsettled_since IS NOT NULL")
        .await
}

/// Lets time pass since the endpoints changed.
async fn age_changes(world: &mut World, by: &str) {
    world
        .sql(&format!(
            "UPDATE endpoints SET unsettled_since = unsettled_since - interval '{by}'"
        ))
        .await;
}

/// One delivery of each kind that an endpoint's queue may hold, the leased one last.
async fn one_of_each(
    world: &mut World,
    account: Account,
    endpoint: reprise_core::ids::EndpointId,
) -> delivery_queue::Claim {
    let leased = world.claimed(account, endpoint).await;
    let ids = world.enqueue(account, endpoint, 4).await;
    world
        .sql(&format!(
            "UPDATE delivery_queue SET express = true WHERE delivery_id = '{}';
             UPDATE delivery_queue SET due_at = now() + interval '1 hour' WHERE delivery_id = '{}';
             UPDATE delivery_queue SET due_at = 'infinity' WHERE delivery_id = '{}'",
            ids[1], ids[2], ids[3]
        ))
        .await;
    leased
}

#[tokio::test]
async fn a_deleted_endpoints_unfinished_deliveries_are_canceled_except_the_leased_one() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let neighbour = world.endpoint(account).await;
    let leased = one_of_each(&mut world, account, endpoint).await;
    let untouched = world.enqueue(account, neighbour, 1).await[0];
    world
        .set_status(account, endpoint, EndpointStatus::Deleted)
        .await;
    assert_eq!(settle(&mut world).await, [4]);
    assert_eq!(
        world.number("SELECT count(*) FROM deliveries WHERE status = 'canceled' AND error_message = 'The endpoint was deleted'").await,
        4
    );
    assert_eq!(world.number("SELECT count(*) FROM delivery_queue").await, 2);
    let leased = world.delivery(account, leased.delivery_id).await;
    assert_eq!(leased.status, DeliveryStatus::Delivering);
    assert_eq!(
        world.delivery(account, untouched).await.status,
        DeliveryStatus::Pending
    );
}

#[tokio::test]
async fn many_deliveries_are_settled_in_batches() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 2_500).await;
    world
        .set_status(account, endpoint, EndpointStatus::Deleted)
        .await;
    assert_eq!(settle(&mut world).await, [1_000, 1_000, 500]);
    assert_eq!(world.number("SELECT count(*) FROM delivery_queue").await, 0);
}

#[tokio::test]
async fn what_a_dispatcher_returns_of_a_deleted_endpoint_is_canceled_by_a_later_settling() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let leased = world.claimed(account, endpoint).await;
    world
        .set_status(account, endpoint, EndpointStatus::Deleted)
        .await;
    assert!(settle(&mut world).await.is_empty());
    let retry = retried(&leased, Duration::from_secs(3_600));
    let finished = recording::record(&mut world.conn, world.dispatcher, &[retry]).await;
    assert_eq!(finished.expect("recorded").len(), 1);
    age_changes(&mut world, "2 minutes").await;
    assert_eq!(settle(&mut world).await, [1]);
    let delivery = world.delivery(account, leased.delivery_id).await;
    assert_eq!(delivery.status, DeliveryStatus::Canceled);
    assert_eq!(delivery.next_retry_at, None);
    assert_eq!(delivery.attempt_count, 1);
}

/// All dispatchers were away for longer than a lease lasts: the lease is still there when they come back.
#[tokio::test]
async fn an_endpoint_is_not_settled_while_one_of_its_deliveries_is_leased() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let leased = world.claimed(account, endpoint).await;
    world
        .set_status(account, endpoint, EndpointStatus::Deleted)
        .await;
    world.expire_leases().await;
    age_changes(&mut world, "1 hour").await;
    assert!(settle(&mut world).await.is_empty());
    let taken_over = lost::take_over_expired(&mut world.conn, 10).await;
    assert_eq!(taken_over.ok(), Some(1));
    assert_eq!(settle(&mut world).await, [1]);
    let delivery = world.delivery(account, leased.delivery_id).await;
    assert_eq!(delivery.status, DeliveryStatus::Canceled);
    assert_eq!(unsettled(&mut world).await, 0);
}

#[tokio::test]
async fn a_disabled_endpoints_deliveries_are_kept_back_and_go_on_when_it_is_enabled() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let leased = one_of_each(&mut world, account, endpoint).await;
    world.set_status(account, endpoint, disabled()).await;
    assert_eq!(
        settle(&mut world).await,
        [2],
        "the ready one and the express one"
    );
    assert_eq!(
        world
            .number("SELECT count(*) FROM delivery_queue WHERE due_at IS NULL")
            .await,
        0
    );
    // The retry that was waiting, and the one that its dispatcher brings back, are kept back when they are due.
    let retry = retried(&leased, Duration::from_millis(1));
    let finished = recording::record(&mut world.conn, world.dispatcher, &[retry]).await;
    assert_eq!(finished.expect("recorded").len(), 1);
    world
        .sql("UPDATE delivery_queue SET due_at = now() - interval '1 second' WHERE due_at < 'infinity'")
        .await;
    let promoted = delivery_queue::promote_due(&mut world.conn, 10).await;
    assert_eq!(promoted.ok(), Some(2));
    assert_eq!(
        world
            .number("SELECT count(*) FROM delivery_queue WHERE due_at = 'infinity'")
            .await,
        5
    );
    assert!(world.claim(10).await.is_empty());
    assert!(world.claim_express(10).await.is_empty());

    world
        .set_status(account, endpoint, EndpointStatus::Enabled)
        .await;
    assert_eq!(settle(&mut world).await, [5]);
    let express = world.claim_express(10).await.len();
    assert_eq!(
        (world.claim(10).await.len(), express),
        (5, 0),
        "nobody waits any more"
    );
    assert_eq!(
        world
            .number("SELECT count(*) FROM deliveries WHERE status IN ('pending', 'retrying')")
            .await,
        5,
        "nothing was ended"
    );
}

#[tokio::test]
async fn a_retry_that_is_not_due_yet_stays_so_when_its_endpoint_is_enabled_again() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 1).await;
    world
        .sql("UPDATE delivery_queue SET due_at = now() + interval '1 hour'")
        .await;
    let before = world.rows().await["delivery_queue"].clone();
    for status in [disabled(), EndpointStatus::Enabled] {
        world.set_status(account, endpoint, status).await;
        assert!(settle(&mut world).await.is_empty());
        assert_eq!(world.rows().await["delivery_queue"], before);
    }
}

#[tokio::test]
async fn an_endpoint_counts_as_settled_a_minute_after_its_change_and_not_before() {
    for status in [disabled(), EndpointStatus::Deleted] {
        let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
        world.set_status(account, endpoint, status).await;
        age_changes(&mut world, "50 seconds").await;
        settle(&mut world).await;
        assert_eq!(
            unsettled(&mut world).await,
            1,
            "a publish call may be under way"
        );
        age_changes(&mut world, "11 seconds").await;
        settle(&mut world).await;
        assert_eq!(unsettled(&mut world).await, 0);
    }
}

#[tokio::test]
async fn an_enabled_endpoint_is_settled_although_its_deliveries_are_leased() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.claimed(account, endpoint).await;
    world.set_status(account, endpoint, disabled()).await;
    world
        .set_status(account, endpoint, EndpointStatus::Enabled)
        .await;
    age_changes(&mut world, "2 minutes").await;
    settle(&mut world).await;
    assert_eq!(unsettled(&mut world).await, 0);
}

#[tokio::test]
async fn a_publish_call_that_was_under_way_at_the_deletion_is_settled_too() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let mut publisher = world.connect().await;
    publisher.batch_execute("BEGIN").await.expect("begun");
    std::mem::swap(&mut publisher, &mut world.conn);
    world.publish(account, &crate::world::event(b"{}")).await;
    std::mem::swap(&mut publisher, &mut world.conn);
    world
        .set_status(account, endpoint, EndpointStatus::Deleted)
        .await;
    assert!(settle(&mut world).await.is_empty());
    publisher.batch_execute("COMMIT").await.expect("committed");
    assert!(world.claim(1).await.is_empty());
    assert_eq!(settle(&mut world).await, [1]);
}

/// A tenant that deletes its endpoints by the thousand does not hold up another's that is enabled again.
#[tokio::test]
async fn an_enabled_endpoint_goes_on_at_once_however_many_were_deleted_before() {
    let mut world = World::create().await;
    let many = world.account().await;
    for _ in 0..150 {
        world.endpoint(many).await;
    }
    world
        .sql("UPDATE endpoints SET status = 'deleted', unsettled_since = now() - interval '30 seconds'")
        .await;
    let one = world.account().await;
    let endpoint = world.endpoint(one).await;
    world.enqueue(one, endpoint, 3).await;
    world.set_status(one, endpoint, disabled()).await;
    world
        .sql("UPDATE delivery_queue SET due_at = 'infinity'")
        .await;
    world
        .set_status(one, endpoint, EndpointStatus::Enabled)
        .await;
    settle(&mut world).await;
    assert_eq!(world.claim(10).await.len(), 3);
}

/// What is left over from a mass deletion is found in some of the next looks, wherever it stands among the others.
#[tokio::test]
async fn every_one_of_many_deleted_endpoints_gets_its_turn() {
    let (mut world, account, last) = World::with_endpoint(settings()).await;
    for _ in 0..150 {
        world.endpoint(account).await;
    }
    world.enqueue(account, last, 3).await;
    world
        .sql(&format!(
            "UPDATE endpoints SET status = 'deleted',
             unsettled_since = now() - CASE WHEN id = '{last}' THEN interval '0' ELSE interval '30 seconds' END"
        ))
        .await;
    // Each look finds it by a chance of two in three.
    for _ in 0..50 {
        settle(&mut world).await;
    }
    assert_eq!(world.number("SELECT count(*) FROM delivery_queue").await, 0);
}
