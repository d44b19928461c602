//! What is left behind by a dispatcher that died: attempts that nobody finished are closed as lost.

use std::time::Duration;

use reprise_core::delivery::DeliveryStatus;
use reprise_core::event_type::EventType;
use reprise_core::store::direct_events::{self, DirectEvent};
use reprise_core::store::{attempts, lost};
use tokio::task::JoinSet;

use crate::world::{World, retries, settings};

#[tokio::test]
async fn a_lost_attempt_is_recorded_counts_and_is_followed_by_another_at_once() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let claim = world.claimed(account, endpoint).await;
    let taken_over = lost::take_over_expired(&mut world.conn, 10).await;
    assert_eq!(taken_over.ok(), Some(0), "its lease is live");
    world.expire_leases().await;
    let taken_over = lost::take_over_expired(&mut world.conn, 10).await;
    assert_eq!(taken_over.ok(), Some(1));
    let listed = attempts::list(&mut world.conn, account.tenant, claim.delivery_id)
        .await
        .expect("readable")
        .expect("there");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, claim.attempt_id);
    assert_eq!(listed[0].number, 1);
    assert_eq!(listed[0].duration, None);
    assert_eq!(listed[0].response, None);
    let kind = listed[0].error.as_ref().map(|error| error.kind.as_str());
    assert_eq!(kind, Some("lost"));
    let holder = world
        .texts("SELECT dispatcher_id::text FROM attempts")
        .await;
    assert_eq!(holder, [world.dispatcher.to_string()]);
    let delivery = world.delivery(account, claim.delivery_id).await;
    assert_eq!(delivery.status, DeliveryStatus::Retrying);
    assert_eq!(delivery.attempt_count, 1);
    assert_eq!(delivery.scheduled_attempt(), 2);
    let next = world.claim(1).await.remove(0);
    assert_eq!(next.attempt_number, 2);
    assert_eq!(next.attempt_id, delivery.attempt_id);
    let endpoint = world.find_endpoint(account, endpoint).await;
    assert_eq!(
        endpoint.failing_since, None,
        "it says nothing about the receiver"
    );
}

#[tokio::test]
async fn a_lost_attempt_that_was_the_last_fails_its_delivery_and_says_why() {
    let mut settings = settings();
    settings.retry = retries(&[]);
    let (mut world, account, endpoint) = World::with_endpoint(settings).await;
    let claim = world.claimed(account, endpoint).await;
    world.expire_leases().await;
    let taken_over = lost::take_over_expired(&mut world.conn, 10).await;
    assert_eq!(taken_over.ok(), Some(1));
    let delivery = world.delivery(account, claim.delivery_id).await;
    assert_eq!(delivery.status, DeliveryStatus::Failed);
    assert_eq!(delivery.attempt_count, 1);
    assert_eq!(delivery.final_http_status, None);
    let reason = delivery.error_message.expect("a reason");
    assert!(reason.starts_with("Gave up after 1 attempt;"), "{reason}");
    assert!(reason.contains("the receiver may have got it"), "{reason}");
    assert_eq!(world.number("SELECT count(*) FROM delivery_queue").await, 0);
}

#[tokio::test]
async fn a_delivery_that_kills_every_dispatcher_ends() {
    let mut settings = settings();
    settings.retry = retries(&[Duration::from_secs(1); 3]);
    let (mut world, account, endpoint) = World::with_endpoint(settings).await;
    let id = world.enqueue(account, endpoint, 1).await[0];
    for number in 1..=4 {
        let claims = world.claim(1).await;
        assert_eq!(claims[0].attempt_number, number);
        world.expire_leases().await;
        let taken_over = lost::take_over_expired(&mut world.conn, 10).await;
        assert_eq!(taken_over.ok(), Some(1));
    }
    assert!(world.claim(1).await.is_empty());
    let delivery = world.delivery(account, id).await;
    assert_eq!(delivery.status, DeliveryStatus::Failed);
    assert_eq!(delivery.attempt_count, 4);
}

#[tokio::test]
async fn leases_of_many_that_died_are_taken_over_once_by_many_that_live() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 60).await;
    for _ in 0..3 {
        world.dispatcher = reprise_core::ids::DispatcherId::new();
        assert_eq!(world.claim(20).await.len(), 20);
    }
    world.expire_leases().await;
    let mut peers = JoinSet::new();
    for _ in 0..4 {
        let mut conn = world.connect().await;
        peers.spawn(async move {
            let mut count = 0;
            for _ in 0..20 {
                count += lost::take_over_expired(&mut conn, 7)
                    .await
                    .expect("taken over");
            }
            count
        });
    }
    assert_eq!(peers.join_all().await.into_iter().sum::<usize>(), 60);
    assert_eq!(world.number("SELECT count(*) FROM attempts").await, 60);
    assert_eq!(
        world
            .number(
                "SELECT count(*) FROM delivery_queue WHERE attempt_number = 2 AND due_at IS NULL"
            )
            .await,
        60
    );
}

#[tokio::test]
async fn an_unreadable_retry_policy_keeps_nobodys_leases_from_being_taken_over() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let other = world.endpoint(account).await;
    world.enqueue(account, endpoint, 1).await;
    world.enqueue(account, other, 1).await;
    assert_eq!(world.claim(2).await.len(), 2);
    world
        .sql(&format!(
            "UPDATE endpoints SET retry_schedule = '{{\"of a later version\": 1}}' WHERE id = '{endpoint}'"
        ))
        .await;
    world.expire_leases().await;
    let taken_over = lost::take_over_expired(&mut world.conn, 10).await;
    assert_eq!(taken_over.ok(), Some(2));
}

#[tokio::test]
async fn a_lost_challenge_is_not_sent_again() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let challenge = EventType::challenge();
    let made = direct_events::insert(&mut world.conn, account.tenant, endpoint, challenge, b"{}")
        .await
        .expect("stored");
    let DirectEvent::Stored { delivery, .. } = made else {
        panic!("{made:?}");
    };
    assert_eq!(world.claim_express(1).await.len(), 1);
    world.expire_leases().await;
    let taken_over = lost::take_over_expired(&mut world.conn, 10).await;
    assert_eq!(taken_over.ok(), Some(1));
    let ended = world.delivery(account, delivery.id).await;
    assert_eq!(ended.status, DeliveryStatus::Failed);
    assert_eq!(ended.attempt_count, 1);
    assert!(world.claim(10).await.is_empty());
}
