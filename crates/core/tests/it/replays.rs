//! Replays: what they share with the original, and when there is none.

use diesel_async::SimpleAsyncConnection;
use reprise_core::delivery::{Delivery, DeliveryStatus, ReplayRefusal, ReplaySource};
use reprise_core::endpoint::EndpointStatus;
use reprise_core::ids::{DeliveryId, EndpointId};
use reprise_core::store::leases;
use reprise_core::store::replays::{self, Urgency};

use crate::attempts::{delivered, retried};
use crate::leases::hear;
use crate::world::{Account, World, disabled, event, settings};

async fn source(world: &mut World, account: Account, id: DeliveryId) -> ReplaySource {
    replays::find_source(&mut world.conn, account.tenant, id)
        .await
        .expect("readable")
        .expect("there")
}

async fn replay(world: &mut World, account: Account, id: DeliveryId, urgency: Urgency) -> Delivery {
    let source = source(world, account, id).await;
    replays::insert(&mut world.conn, &source, urgency)
        .await
        .expect("stored")
        .expect("its endpoint is enabled")
}

/// A delivery that has been delivered.
async fn delivered_one() -> (World, Account, EndpointId, DeliveryId) {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.publish(account, &event(b"{\"a\": 1}")).await;
    let claim = world.claim(1).await.remove(0);
    leases::finish(&mut world.conn, world.dispatcher, &[delivered(&claim)])
        .await
        .expect("recorded");
    (world, account, endpoint, claim.delivery_id)
}

#[tokio::test]
async fn a_replay_is_a_new_pending_delivery_of_the_same_event() {
    let (mut world, account, _, id) = delivered_one().await;
    let original = world.delivery(account, id).await;
    let made = replay(&mut world, account, id, Urgency::Normal).await;
    let read = world.delivery(account, made.id).await;
    assert_eq!(
        format!("{made:?}"),
        format!("{read:?}"),
        "what is answered is what is kept"
    );
    assert_ne!(read.id, original.id);
    assert_eq!(read.status, DeliveryStatus::Pending);
    assert_eq!(read.event_id, original.event_id);
    assert_eq!(read.endpoint_id, original.endpoint_id);
    assert_eq!(read.replay_of, Some(id));
    assert_eq!(read.first_delivery_id, id);
    assert_eq!(read.attempt_count, 0);
    let unchanged = world.delivery(account, id).await;
    assert_eq!(format!("{unchanged:?}"), format!("{original:?}"));
    let claims = world.claim(10).await;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].delivery_id, made.id);
    assert_eq!(claims[0].attempt_id, made.attempt_id);
    assert_eq!(claims[0].payload_bytes, 8);
}

#[tokio::test]
async fn a_replay_of_a_replay_names_it_and_shares_its_first_delivery() {
    let (mut world, account, _, first) = delivered_one().await;
    let second = replay(&mut world, account, first, Urgency::Normal).await;
    let third = replay(&mut world, account, second.id, Urgency::Normal).await;
    let third = world.delivery(account, third.id).await;
    assert_eq!(third.replay_of, Some(second.id));
    assert_eq!(third.first_delivery_id, first);
}

#[tokio::test]
async fn an_endpoint_disabled_or_deleted_meanwhile_gets_no_replay() {
    for status in [disabled(), EndpointStatus::Deleted] {
        let (mut world, account, endpoint, id) = delivered_one().await;
        let source = source(&mut world, account, id).await;
        assert_eq!(source.check(), Ok(()));
        world.set_status(account, endpoint, status).await;
        let before = world.rows().await;
        for urgency in [Urgency::Normal, Urgency::Express] {
            let made = replays::insert(&mut world.conn, &source, urgency)
                .await
                .expect("no error");
            assert!(made.is_none());
        }
        assert_eq!(world.rows().await, before);
        let source = self::source(&mut world, account, id).await;
        assert_eq!(source.check(), Err(ReplayRefusal::EndpointDisabled));
    }
}

#[tokio::test]
async fn only_an_express_replay_notifies_in_its_commit() {
    let (mut world, account, _, id) = delivered_one().await;
    let mut listener = world.connect().await;
    listener
        .batch_execute("LISTEN reprise_ready; LISTEN reprise_express; LISTEN last")
        .await
        .expect("listening");
    replay(&mut world, account, id, Urgency::Normal).await;
    replay(&mut world, account, id, Urgency::Express).await;
    world.sql("SELECT pg_notify('last', 'last')").await;
    assert_eq!(hear(&mut listener, 2).await, ["", "last"]);
}

#[tokio::test]
async fn an_express_replay_is_claimed_before_what_was_there_first() {
    let (mut world, account, endpoint, id) = delivered_one().await;
    world.enqueue(account, endpoint, 5).await;
    let express = replay(&mut world, account, id, Urgency::Express).await;
    let claims = world.claim_express(5).await;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].delivery_id, express.id);
    assert_eq!(world.claim(10).await.len(), 5);
}

#[tokio::test]
async fn a_source_tells_the_lease_and_the_payload_of_its_delivery() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let claim = world.claimed(account, endpoint).await;
    let id = claim.delivery_id;
    let leased = source(&mut world, account, id).await;
    assert_eq!(leased.check(), Err(ReplayRefusal::NotFinished));
    assert_eq!(leased.delivery.status, DeliveryStatus::Delivering);
    let retry = retried(&claim, std::time::Duration::from_secs(60));
    leases::finish(&mut world.conn, world.dispatcher, &[retry])
        .await
        .expect("recorded");
    let retrying = source(&mut world, account, id).await;
    assert_eq!(retrying.check(), Ok(()));
    assert_eq!(retrying.payload_bytes, Some(2));
    world.sql("DELETE FROM events").await;
    let expired = source(&mut world, account, id).await;
    assert_eq!(expired.check(), Err(ReplayRefusal::PayloadExpired));
}

#[tokio::test]
async fn a_delivery_of_another_tenant_is_no_source() {
    let (mut world, _, _, id) = delivered_one().await;
    let stranger = world.account().await;
    let found = replays::find_source(&mut world.conn, stranger.tenant, id)
        .await
        .expect("readable");
    assert!(found.is_none());
}
