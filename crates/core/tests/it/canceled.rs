//! What a delivery that was called off shows: the attempt that was last, not one that was never made.

use std::time::Duration;

use reprise_core::delivery::{Delivery, DeliveryStatus};
use reprise_core::endpoint::EndpointStatus;
use reprise_core::ids::{AttemptId, DeliveryId};
use reprise_core::store::settling::{Settled, settle_one};
use reprise_core::store::{deliveries, recording};
use time::OffsetDateTime;

use crate::attempts::retried;
use crate::world::{Account, World, settings};

/// A delivery that waits for its third attempt, and the id of its second.
async fn retrying(world: &mut World, account: Account) -> (DeliveryId, AttemptId) {
    let mut last = None;
    for after in [Duration::ZERO, Duration::from_secs(600)] {
        let claim = world.claim(1).await.remove(0);
        let end = retried(&claim, after);
        recording::record(&mut world.conn, world.dispatcher, &[end])
            .await
            .expect("recorded");
        last = Some((claim.delivery_id, claim.attempt_id));
    }
    let (id, attempt_id) = last.expect("two attempts");
    let delivery = world.delivery(account, id).await;
    assert_ne!(delivery.attempt_id, attempt_id, "the next one's");
    (id, attempt_id)
}

fn assert_shows(canceled: &Delivery, attempt_id: AttemptId) {
    assert_eq!(canceled.status, DeliveryStatus::Canceled);
    assert_eq!(canceled.attempt_id, attempt_id);
    let ago = OffsetDateTime::now_utc() - canceled.attempt_enqueued_at;
    assert!((0..60).contains(&ago.whole_seconds()), "{ago}");
}

#[tokio::test]
async fn what_is_canceled_before_a_retry_shows_the_attempt_that_was_last() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 1).await;
    let (id, last) = retrying(&mut world, account).await;
    let before = world.delivery(account, id).await.attempt_enqueued_at;
    let canceled = deliveries::cancel(&mut world.conn, account.tenant, id, "why not")
        .await
        .expect("canceled")
        .expect("there");
    assert_shows(&canceled, last);
    assert!(canceled.attempt_enqueued_at < before);
    assert!(canceled.attempt_enqueued_at >= canceled.created_at - Duration::from_secs(1));
}

#[tokio::test]
async fn what_goes_with_its_endpoint_shows_the_attempt_that_was_last_or_the_first_to_come() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 1).await;
    let (id, last) = retrying(&mut world, account).await;
    let pending = world.enqueue(account, endpoint, 1).await[0];
    let first = world.delivery(account, pending).await.attempt_id;
    world
        .set_status(account, endpoint, EndpointStatus::Deleted)
        .await;
    let settled = settle_one(&mut world.conn).await.expect("settled");
    assert_eq!(settled, Settled::Moved(2));
    assert_shows(&world.delivery(account, id).await, last);
    assert_shows(&world.delivery(account, pending).await, first);
}

#[tokio::test]
async fn a_delivery_of_another_tenant_is_not_canceled() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let stranger = world.account().await;
    let id = world.enqueue(account, endpoint, 1).await[0];
    let canceled = deliveries::cancel(&mut world.conn, stranger.tenant, id, "why not").await;
    assert!(canceled.expect("no error").is_none());
    let delivery = world.delivery(account, id).await;
    assert_eq!(delivery.status, DeliveryStatus::Pending);
    assert_eq!(world.claim(10).await.len(), 1, "it is still to be sent");
}
