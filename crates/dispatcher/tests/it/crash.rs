//! Dispatchers that are killed, frozen and stopped.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reprise_core::delivery::{Delivery, DeliveryStatus};
use reprise_core::fair_share::{Caps, InFlight};
use reprise_core::ids::DispatcherId;
use reprise_core::store::delivery_queue::{ClaimRequest, Claimant, WalkPosition};
use reprise_core::store::dispatchers;
use reprise_testkit::claims::claim_fairly;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Dispatcher;
use reprise_testkit::polling::poll_until;
use reprise_testkit::receiver::{Answer, Received, Receiver};

use crate::world::{PATIENCE, World, retries, settings};

fn attempt_numbers(received: &[Received]) -> Vec<Option<&str>> {
    received
        .iter()
        .map(|one| one.header("webhook-attempt"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_between_send_and_record_shows_as_lost_and_the_delivery_is_sent_again() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let mut wanted = settings(&receiver.url("/"));
    wanted.retry = retries(&[Duration::from_secs(3_600)]);
    let endpoint = world.endpoint(&wanted).await;
    let killed = Arc::new(Mutex::new(Some(Dispatcher::start(database.url()).await)));
    let victim = Arc::clone(&killed);
    receiver.answer_by("/", move |_| {
        // The whole request has come, and no answer has gone: the first time the dispatcher dies here.
        if let Some(dispatcher) = victim.lock().expect("not poisoned").take() {
            dispatcher.process.kill();
        }
        Answer::status(200)
    });
    world.publish(b"{}").await;
    receiver.wait_for(1, PATIENCE).await;

    let _heir = Dispatcher::start(database.url()).await;
    let delivery = world
        .wait_for_status(endpoint, DeliveryStatus::Delivered)
        .await;
    let kinds = world.error_kinds(delivery.id).await;
    assert_eq!(kinds, [Some("lost".to_owned()), None]);
    assert_eq!(delivery.attempt_count, 2);
    assert_eq!(
        attempt_numbers(&receiver.received()),
        [Some("1"), Some("2")]
    );
}

#[tokio::test]
async fn kill_between_claim_and_send_is_found_by_a_peer_through_the_missing_heartbeat() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let mut wanted = settings(&receiver.url("/"));
    wanted.timeout = Duration::from_secs(60);
    wanted.retry = retries(&[Duration::from_secs(3_600)]);
    let endpoint = world.endpoint(&wanted).await;
    world.publish_quietly(b"{}").await;
    // This test is the dispatcher that dies: it beats once, claims, and is never heard of again.
    let dead = DispatcherId::new();
    dispatchers::beat(&mut *world.conn().await, dead, "test")
        .await
        .expect("beaten");
    let request = ClaimRequest {
        claimant: Claimant::new(dead),
        max_rows: 10,
        free: 1_000,
        max_payload_bytes: 1_000,
        lease_margin: Duration::from_secs(15),
        caps: Caps {
            per_endpoint: 10,
            per_tenant: 10,
        },
        in_flight: &InFlight::default(),
    };
    let position = WalkPosition::default();
    let claimed = claim_fairly(&mut *world.conn().await, &request, &position).await;
    assert_eq!(claimed.claims.len(), 1);
    let delivering = world.delivery(endpoint).await;
    assert_eq!(delivering.status, DeliveryStatus::Delivering);

    // Its lease would last 75 s; the peers' patience is 10 s.
    let _peer = Dispatcher::start(database.url()).await;
    let delivery = world
        .wait_for_status(endpoint, DeliveryStatus::Delivered)
        .await;
    assert_eq!(
        world.error_kinds(delivery.id).await,
        [Some("lost".to_owned()), None]
    );
    assert_eq!(attempt_numbers(&receiver.received()), [Some("2")]);
}

#[tokio::test]
async fn frozen_dispatcher_cannot_overwrite_what_its_heir_has_recorded() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    // The late answer is a success, the heir's a failure: the delivery is still in the queue when the late one comes.
    let late = Answer::status(200).delay(Duration::from_secs(2));
    receiver.answer(vec![late, Answer::status(500)]);
    let mut wanted = settings(&receiver.url("/"));
    let hour = Duration::from_hours(1);
    wanted.retry = retries(&[hour, hour]);
    let endpoint = world.endpoint(&wanted).await;
    let frozen = Dispatcher::start(database.url()).await;
    world.publish(b"{}").await;
    receiver.wait_for(1, PATIENCE).await;
    frozen.process.stop();

    let _heir = Dispatcher::start(database.url()).await;
    let is_retrying = |delivery: &Delivery| {
        delivery.status == DeliveryStatus::Retrying && delivery.attempt_count == 2
    };
    let recorded = world.wait_for(endpoint, is_retrying).await;
    frozen.process.cont();
    let fenced = poll_until(PATIENCE, async || {
        let metrics = frozen.admin().get("/metrics").await.text();
        metrics
            .contains("reprise_fenced_results_total 1")
            .then_some(())
    });
    fenced.await.expect("the late result was dropped");
    let after = world.delivery(endpoint).await;
    assert_eq!(after.status, DeliveryStatus::Retrying);
    assert_eq!(after.updated_at, recorded.updated_at);
    let kinds = world.error_kinds(after.id).await;
    assert_eq!(
        kinds,
        ["lost", "http_status"].map(|kind| Some(kind.to_owned()))
    );
}

#[tokio::test]
async fn drain_finishes_what_is_in_flight_and_leaves_the_rest_to_others() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    receiver.answer(Answer::status(200).delay(Duration::from_millis(700)));
    let endpoint = world.endpoint(&settings(&receiver.url("/"))).await;
    for _ in 0..40 {
        world.publish_quietly(b"{}").await;
    }
    let limits = [("REPRISE_MAX_IN_FLIGHT_PER_ENDPOINT", "10")];
    let mut stopped = Dispatcher::start_with(database.url(), &limits).await;
    receiver.wait_for(10, PATIENCE).await;
    stopped.process.terminate();
    let status = stopped.process.wait_exit(PATIENCE).await;
    assert!(status.success(), "{status}");

    let sent = receiver.received().len();
    let delivered = world.deliveries(endpoint).await;
    let delivered = delivered
        .iter()
        .filter(|one| one.status == DeliveryStatus::Delivered)
        .count();
    assert_eq!(delivered, sent, "all that was sent is recorded");
    assert!(sent < 40, "the drain came in between");
    world.wait_for_queue("lease_token IS NOT NULL", 0).await;

    let _next = Dispatcher::start(database.url()).await;
    let all = world
        .wait_for_all(endpoint, 40, DeliveryStatus::Delivered)
        .await;
    assert!(all.iter().all(|one| one.attempt_count == 1));
    assert_eq!(receiver.received().len(), 40, "nothing twice");
}

#[tokio::test]
async fn drain_that_takes_too_long_gives_deliveries_back_without_costing_an_attempt() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    receiver.answer(Answer::hang());
    let mut wanted = settings(&receiver.url("/"));
    wanted.timeout = Duration::from_secs(60);
    let endpoint = world.endpoint(&wanted).await;
    let hasty = [("REPRISE_DRAIN_TIMEOUT", "100ms")];
    let mut stopped = Dispatcher::start_with(database.url(), &hasty).await;
    world.publish(b"{}").await;
    receiver.wait_for(1, PATIENCE).await;
    stopped.process.terminate();
    let status = stopped.process.wait_exit(PATIENCE).await;
    assert!(status.success(), "{status}");
    let delivery = world.delivery(endpoint).await;
    assert_eq!(
        (delivery.status, delivery.attempt_count),
        (DeliveryStatus::Pending, 0)
    );
    world.wait_for_queue("due_at IS NULL", 1).await;
}

#[tokio::test]
async fn second_signal_ends_a_drain_at_once() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    receiver.answer(Answer::hang());
    let mut wanted = settings(&receiver.url("/"));
    wanted.timeout = Duration::from_secs(60);
    world.endpoint(&wanted).await;
    let mut stopped = Dispatcher::start(database.url()).await;
    world.publish(b"{}").await;
    receiver.wait_for(1, PATIENCE).await;
    stopped.process.terminate();
    let draining = |line: &str| line.contains("Draining").then_some(());
    stopped.process.wait_for_line(draining, PATIENCE).await;
    let answer = stopped.admin().get("/readyz").await.expect_status(503);
    assert!(answer.text().contains("draining"), "{}", answer.text());
    stopped.process.terminate();
    let status = stopped.process.wait_exit(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(1));
}
