//! What a result changes, when it changes nothing, and who may say so.

use std::pin::pin;
use std::slice;
use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::StreamExt;
use reprise_core::delivery::DeliveryStatus;
use reprise_core::endpoint::EndpointStatus;
use reprise_core::ids::{DispatcherId, LeaseToken};
use reprise_core::store::leases::{self, UnusedLease};
use reprise_core::store::recording::{self, FinishedAttempt};
use reprise_core::store::{StoreError, dispatchers, lost};
use uuid::Uuid;

use crate::attempts::{delivered, failed, gone, retried};
use crate::world::{World, begin, commit, settings};

async fn finish(world: &mut World, finished: &[FinishedAttempt]) -> usize {
    recording::record(&mut world.conn, world.dispatcher, finished)
        .await
        .expect("recorded")
        .len()
}

/// Finishes each of these alone, in vain.
async fn assert_nothing_changes(world: &mut World, late: &[FinishedAttempt]) {
    let before = world.rows().await;
    for one in late {
        assert_eq!(finish(world, slice::from_ref(one)).await, 0);
        assert_eq!(world.rows().await, before);
    }
}

#[tokio::test]
async fn expired_lease_cannot_overwrite_a_result() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let first = world.claimed(account, endpoint).await;
    world.expire_leases().await;
    let taken_over = lost::take_over_expired(&mut world.conn, 10).await;
    assert_eq!(taken_over.ok(), Some(1));
    // Too late while nobody holds the delivery, while another does, and after that one has delivered it.
    let late = [
        failed(&first),
        retried(&first, Duration::from_secs(60)),
        delivered(&first),
        gone(&first),
    ];
    assert_nothing_changes(&mut world, &late).await;
    let second = world.claim(1).await.remove(0);
    assert_eq!(second.delivery_id, first.delivery_id);
    assert_eq!(second.attempt_number, 2);
    assert_ne!(second.attempt_id, first.attempt_id);
    assert_nothing_changes(&mut world, &late).await;
    assert_eq!(finish(&mut world, &[delivered(&second)]).await, 1);
    assert_nothing_changes(&mut world, &late).await;
    let delivery = world.delivery(account, first.delivery_id).await;
    assert_eq!(delivery.status, DeliveryStatus::Delivered);
    assert_eq!(delivery.attempt_count, 2);
}

#[tokio::test]
async fn a_result_in_a_late_neighbours_batch_is_recorded() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let claim = world.claimed(account, endpoint).await;
    let mut late = delivered(&world.claimed(account, endpoint).await);
    late.lease_token = LeaseToken(Uuid::new_v4());
    let late_before = world.delivery(account, late.delivery_id).await;
    assert_eq!(
        finish(&mut world, &[late.clone(), delivered(&claim)]).await,
        1
    );
    let delivery = world.delivery(account, claim.delivery_id).await;
    assert_eq!(delivery.status, DeliveryStatus::Delivered);
    let late_after = world.delivery(account, late.delivery_id).await;
    assert_eq!(late_after.updated_at, late_before.updated_at);
    assert_eq!(late_after.status, DeliveryStatus::Delivering);
}

#[tokio::test]
async fn recording_again_after_an_unclear_commit_changes_nothing() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    for make in [delivered, failed, gone] {
        let end = make(&world.claimed(account, endpoint).await);
        assert_eq!(finish(&mut world, slice::from_ref(&end)).await, 1);
        let before = world.rows().await;
        assert_eq!(finish(&mut world, slice::from_ref(&end)).await, 0);
        assert_eq!(world.rows().await, before);
    }
}

#[tokio::test]
async fn an_attempt_and_what_follows_from_it_are_recorded_together_or_not_at_all() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let mut ends = Vec::new();
    for number in 0..4 {
        let claim = world.claimed(account, endpoint).await;
        ends.push(match number {
            0 => delivered(&claim),
            1 => retried(&claim, Duration::from_secs(60)),
            2 => failed(&claim),
            _ => gone(&claim),
        });
    }
    for partition in world
        .texts("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'attempts'::regclass")
        .await
    {
        world
            .sql(&format!("ALTER TABLE attempts DETACH PARTITION {partition}"))
            .await;
    }
    let before = world.rows().await;
    let refused = recording::record(&mut world.conn, world.dispatcher, &ends).await;
    assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    assert_eq!(world.rows().await, before);
}

#[tokio::test]
async fn a_delivered_attempt_ends_its_delivery() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let claim = world.claimed(account, endpoint).await;
    assert_eq!(finish(&mut world, &[delivered(&claim)]).await, 1);
    let delivery = world.delivery(account, claim.delivery_id).await;
    assert_eq!(delivery.status, DeliveryStatus::Delivered);
    assert_eq!(delivery.attempt_count, 1);
    assert_eq!(delivery.attempt_id, claim.attempt_id);
    assert_eq!(delivery.final_http_status, Some(200));
    assert_eq!(delivery.error_message, None);
    assert!(delivery.delivered_at.is_some());
    assert_eq!(world.number("SELECT count(*) FROM delivery_queue").await, 0);
    assert_eq!(world.number("SELECT count(*) FROM attempts").await, 1);
    let seen = world.find_endpoint(account, endpoint).await;
    assert!(seen.last_success_at.is_some());
    assert!(seen.failing_since.is_none());
}

#[tokio::test]
async fn a_retry_waits_in_the_queue_until_exactly_its_next_retry_at() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let claim = world.claimed(account, endpoint).await;
    let after = Duration::from_millis(61_234);
    assert_eq!(finish(&mut world, &[retried(&claim, after)]).await, 1);
    let delivery = world.delivery(account, claim.delivery_id).await;
    assert_eq!(delivery.status, DeliveryStatus::Retrying);
    assert_eq!(delivery.attempt_count, 1);
    assert_eq!(delivery.final_http_status, None, "it is not terminal");
    assert_eq!(
        delivery.error_message.as_deref(),
        Some("The receiver answered 500")
    );
    assert_ne!(delivery.attempt_id, claim.attempt_id);
    assert_eq!(
        world
            .number(
                "SELECT count(*) FROM delivery_queue q
                 JOIN deliveries d ON d.tenant_id = q.tenant_id AND d.id = q.delivery_id
                 WHERE q.due_at = d.next_retry_at AND q.attempt_id = d.attempt_id
                   AND q.attempt_number = 2 AND q.lease_token IS NULL AND NOT q.express
                   AND d.next_retry_at - d.updated_at = interval '61.234 seconds'
                   AND d.attempt_enqueued_at = d.updated_at",
            )
            .await,
        1
    );
    let seen = world.find_endpoint(account, endpoint).await;
    assert!(seen.failing_since.is_some());
}

#[tokio::test]
async fn a_delivery_out_of_attempts_fails_with_its_last_answer_and_the_reason() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let claim = world.claimed(account, endpoint).await;
    assert_eq!(finish(&mut world, &[failed(&claim)]).await, 1);
    let delivery = world.delivery(account, claim.delivery_id).await;
    assert_eq!(delivery.status, DeliveryStatus::Failed);
    assert_eq!(delivery.final_http_status, Some(500));
    assert_eq!(delivery.next_retry_at, None);
    assert_eq!(
        delivery.error_message.as_deref(),
        Some("Gave up after 1 attempt; the last one: The receiver answered 500")
    );
    assert_eq!(world.number("SELECT count(*) FROM delivery_queue").await, 0);
}

#[tokio::test]
async fn a_result_for_a_delivery_that_left_the_queue_is_dropped() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let claim = world.claimed(account, endpoint).await;
    world.sql("DELETE FROM delivery_queue").await;
    let before = world.rows().await;
    for late in [
        delivered(&claim),
        gone(&claim),
        retried(&claim, Duration::ZERO),
    ] {
        assert_eq!(finish(&mut world, &[late]).await, 0);
        assert_eq!(world.rows().await, before);
    }
}

#[tokio::test]
async fn the_first_410_disables_the_endpoint_and_counts_one_change_of_the_tenants_endpoints() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 5).await;
    let claims = world.claim(5).await;
    let version = "SELECT endpoints_version FROM tenants";
    let before = world.number(version).await;
    assert_eq!(
        finish(&mut world, &[gone(&claims[0]), gone(&claims[1])]).await,
        2
    );
    assert_eq!(world.number(version).await, before + 1);
    let reason = "The receiver answered 410 Gone".to_owned();
    let seen = world.find_endpoint(account, endpoint).await;
    assert_eq!(seen.status, EndpointStatus::Disabled { reason });
    let delivery = world.delivery(account, claims[0].delivery_id).await;
    assert_eq!(delivery.status, DeliveryStatus::Failed);
    assert_eq!(delivery.final_http_status, Some(410));
    // What a changed endpoint's former URL answers says nothing of the new one.
    world
        .sql("UPDATE endpoints SET status = 'enabled', disabled_reason = NULL, version = 2")
        .await;
    assert_eq!(finish(&mut world, &[gone(&claims[2])]).await, 1);
    let seen = world.find_endpoint(account, endpoint).await;
    assert_eq!(seen.status, EndpointStatus::Enabled);
    world
        .sql("UPDATE endpoints SET status = 'disabled', disabled_reason = 'x', version = 1")
        .await;
    // A further one finds it disabled.
    assert_eq!(finish(&mut world, &[gone(&claims[3])]).await, 1);
    assert_eq!(world.number(version).await, before + 1);
    // And one that comes after the owner has deleted it does not bring it back.
    world
        .set_status(account, endpoint, EndpointStatus::Deleted)
        .await;
    assert_eq!(finish(&mut world, &[gone(&claims[4])]).await, 1);
    let seen = world.find_endpoint(account, endpoint).await;
    assert_eq!(seen.status, EndpointStatus::Deleted);
}

#[tokio::test]
async fn giving_a_lease_back_costs_no_attempt() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let before = {
        world.enqueue(account, endpoint, 2).await;
        world.rows().await
    };
    let claims = world.claim(2).await;
    let unused: Vec<_> = claims
        .iter()
        .map(|claim| unused(claim, Duration::ZERO))
        .collect();
    leases::give_back(&mut world.conn, &unused)
        .await
        .expect("given back");
    assert_eq!(
        world.rows().await,
        before,
        "as if it had never been claimed"
    );
    // With a wait: the same attempt, later.
    let claims = world.claim(1).await;
    let wait = Duration::from_secs(5);
    leases::give_back(&mut world.conn, &[self::unused(&claims[0], wait)])
        .await
        .expect("given back");
    assert_eq!(
        world
            .number(
                "SELECT count(*) FROM delivery_queue
                 WHERE due_at BETWEEN now() AND now() + interval '5 seconds'
                   AND lease_token IS NULL AND attempt_number = 1"
            )
            .await,
        1
    );
}

fn unused(claim: &reprise_core::store::delivery_queue::Claim, wait: Duration) -> UnusedLease {
    UnusedLease {
        tenant_id: claim.tenant_id,
        delivery_id: claim.delivery_id,
        lease_token: claim.lease_token,
        wait,
    }
}

#[tokio::test]
async fn a_lease_that_another_holds_by_now_is_not_given_back() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let first = world.claimed(account, endpoint).await;
    world.expire_leases().await;
    let taken_over = lost::take_over_expired(&mut world.conn, 10).await;
    assert_eq!(taken_over.ok(), Some(1));
    let second = world.claim(1).await.remove(0);
    assert_eq!(second.delivery_id, first.delivery_id);
    let before = world.rows().await;
    leases::give_back(&mut world.conn, &[unused(&first, Duration::ZERO)])
        .await
        .expect("nothing to give back");
    assert_eq!(world.rows().await, before);
}

#[tokio::test]
async fn what_was_claimed_without_an_answer_is_released_and_nothing_else() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 2).await;
    let before = world.rows().await;
    let unanswered: Vec<_> = world
        .claim(2)
        .await
        .iter()
        .map(|one| one.lease_token)
        .collect();
    assert_eq!(unanswered[0], unanswered[1], "a claim has one token");
    let dispatcher = world.dispatcher;
    let release = async |world: &mut World, dispatcher, tokens: &[_]| {
        let released = leases::release_unanswered(&mut world.conn, dispatcher, tokens).await;
        released.expect("released")
    };
    assert_eq!(
        release(&mut world, DispatcherId::new(), &unanswered).await,
        0
    );
    assert_eq!(
        release(&mut world, dispatcher, &[LeaseToken::random()]).await,
        0
    );
    assert_eq!(release(&mut world, dispatcher, &unanswered[..1]).await, 2);
    assert_eq!(
        world.rows().await,
        before,
        "as if they had never been claimed"
    );
    let known = world.claim(2).await;
    assert_ne!(known[0].lease_token, unanswered[0]);
    assert_eq!(release(&mut world, dispatcher, &unanswered).await, 0);
}

#[tokio::test]
async fn a_dispatcher_that_stops_releases_its_own_leases_and_no_others() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 5).await;
    let before = world.rows().await;
    let (stopping, other) = (world.dispatcher, DispatcherId::new());
    assert_eq!(world.claim(2).await.len(), 2);
    world.dispatcher = other;
    let others = world.claim(3).await;
    let released = leases::release_all(&mut world.conn, stopping).await;
    assert_eq!(released.ok(), Some(2));
    assert_eq!(
        world
            .number(&format!(
                "SELECT count(*) FROM delivery_queue WHERE leased_by = '{other}'"
            ))
            .await,
        3
    );
    let given: Vec<_> = others
        .iter()
        .map(|claim| unused(claim, Duration::ZERO))
        .collect();
    leases::give_back(&mut world.conn, &given)
        .await
        .expect("given back");
    assert_eq!(world.rows().await, before, "as if nothing had been claimed");
}

#[tokio::test]
async fn a_dispatcher_that_is_silent_loses_its_leases_and_the_others_keep_theirs() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 5).await;
    let (silent, alive) = (world.dispatcher, DispatcherId::new());
    for dispatcher in [silent, alive] {
        dispatchers::beat(&mut world.conn, dispatcher, "host")
            .await
            .expect("alive");
    }
    assert_eq!(world.claim(2).await.len(), 2);
    world.dispatcher = alive;
    assert_eq!(world.claim(3).await.len(), 3);
    let ended = dispatchers::end_leases_of_silent(&mut world.conn, 10).await;
    assert_eq!(ended.ok(), Some(0), "nobody is silent yet");
    world
        .sql(&format!(
            "UPDATE dispatchers SET heartbeat_at = now() - interval '11 seconds' WHERE id = '{silent}'"
        ))
        .await;
    let found = dispatchers::find_alive(&mut world.conn, 10).await;
    assert_eq!(found.ok(), Some(vec![alive]));
    let ended = dispatchers::end_leases_of_silent(&mut world.conn, 10).await;
    assert_eq!(ended.ok(), Some(2));
    let left = world.texts("SELECT id::text FROM dispatchers").await;
    assert_eq!(left, [alive.to_string()]);
    let taken_over = lost::take_over_expired(&mut world.conn, 10).await;
    assert_eq!(taken_over.ok(), Some(2));
    assert_eq!(
        world
            .number(&format!(
                "SELECT count(*) FROM delivery_queue WHERE leased_by = '{alive}' AND due_at > now()"
            ))
            .await,
        3
    );
}

#[tokio::test]
async fn an_express_attempt_is_announced_when_it_is_committed_and_not_before() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 2).await;
    let quiet = world.claim(1).await.remove(0);
    world
        .sql("UPDATE delivery_queue SET express = true WHERE lease_token IS NULL")
        .await;
    let awaited = world.claim_express(1).await.remove(0);
    let mut listener = world.connect().await;
    listener
        .batch_execute("LISTEN reprise_recorded")
        .await
        .expect("listening");
    let mut other = world.connect().await;

    begin(&mut world.conn).await;
    assert_eq!(
        finish(&mut world, &[delivered(&quiet), delivered(&awaited)]).await,
        2
    );
    other
        .batch_execute("NOTIFY reprise_recorded, 'before the commit'")
        .await
        .expect("notified");
    commit(&mut world.conn).await;
    other
        .batch_execute("NOTIFY reprise_recorded, 'after the commit'")
        .await
        .expect("notified");
    let heard = hear(&mut listener, 3).await;
    let answer = format!("{} 200 42", awaited.attempt_id);
    assert_eq!(heard, ["before the commit", &answer, "after the commit"]);
}

/// The payloads of the next notifications.
pub(crate) async fn hear(listener: &mut AsyncPgConnection, count: usize) -> Vec<String> {
    let notifications = pin!(listener.notifications_stream());
    let heard = notifications
        .take(count)
        .map(|notification| notification.expect("connected").payload)
        .collect();
    tokio::time::timeout(Duration::from_secs(30), heard)
        .await
        .expect("notifications came")
}
