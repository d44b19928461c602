//! Circuits, with real dispatchers and a receiver that is dead for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reprise_core::delivery::{Delivery, DeliveryStatus};
use reprise_core::endpoint::EndpointSettings;
use reprise_core::ids::EndpointId;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Dispatcher;
use reprise_testkit::polling::poll_until;
use reprise_testkit::receiver::{Answer, Receiver};

use crate::world::{PATIENCE, World, retries, settings};

/// A circuit opens after ten failures within a second, and stays open.
const OPENS_SOON: [(&str, &str); 3] = [
    ("REPRISE_CIRCUIT_FAILURES", "10"),
    ("REPRISE_CIRCUIT_FAILING_FOR", "500ms"),
    ("REPRISE_CIRCUIT_PAUSE", "1h"),
];
/// The same, but it is half-open a moment later.
const PROBES_SOON: [(&str, &str); 4] = [
    ("REPRISE_CIRCUIT_FAILURES", "10"),
    ("REPRISE_CIRCUIT_FAILING_FOR", "500ms"),
    ("REPRISE_CIRCUIT_PAUSE", "300ms"),
    ("REPRISE_CIRCUIT_MAX_PAUSE", "300ms"),
];
/// Deliveries to the dead receiver before its circuit opens.
const COUNT: usize = 20;

/// Settings of a receiver that is tried again and again.
fn tireless(url: &str) -> EndpointSettings {
    EndpointSettings {
        retry: retries(&[Duration::from_secs(1); 50]),
        ..settings(url)
    }
}

/// A receiver that is dead until it is mended, and one that is not.
struct Stage {
    database: TestDatabase,
    world: World,
    dead: Receiver,
    healthy: Receiver,
    dead_endpoint: EndpointId,
}

impl Stage {
    async fn create() -> Self {
        let database = TestDatabase::create().await;
        let world = World::create(database.url()).await;
        let (dead, healthy) = (Receiver::start().await, Receiver::start().await);
        dead.answer(Answer::status(503));
        let dead_endpoint = world.endpoint(&tireless(&dead.url("/"))).await;
        world.endpoint(&settings(&healthy.url("/"))).await;
        Self {
            database,
            world,
            dead,
            healthy,
            dead_endpoint,
        }
    }

    /// Publishes and waits until the healthy receiver has it all, so that everybody has claimed since.
    async fn publish(&self, count: usize) {
        let before = self.healthy.received().len();
        for _ in 0..count {
            self.world.publish(b"{}").await;
        }
        self.healthy.wait_for(before + count, PATIENCE).await;
    }

    /// Waits until the circuit is open and nothing that was sent before is under way.
    async fn wait_for_open(&self) {
        let opened = poll_until(PATIENCE, async || {
            let endpoint = self.world.find_endpoint(self.dead_endpoint).await;
            endpoint.circuit_opened_at
        });
        assert!(opened.await.is_some(), "it never opened");
        self.world
            .wait_for_queue("lease_token IS NOT NULL", 0)
            .await;
    }

    async fn deliveries(&self) -> Vec<Delivery> {
        self.world.deliveries(self.dead_endpoint).await
    }
}

/// What a dispatcher's metrics say of this line; zero if there is none.
async fn metric(dispatcher: &Dispatcher, line: &str) -> u64 {
    let text = dispatcher.admin().get("/metrics").await.text();
    let found = text.lines().find_map(|one| one.strip_prefix(line));
    found.map_or(0, |value| value.trim().parse().expect("a whole number"))
}

#[tokio::test]
async fn nothing_is_sent_to_a_dead_receiver_while_its_circuit_is_open_and_others_get_theirs() {
    let stage = Stage::create().await;
    let url = stage.database.url();
    let dispatcher = Dispatcher::start_with(url, &OPENS_SOON).await;
    stage.publish(COUNT).await;
    stage.wait_for_open().await;
    let tried = stage.dead.received().len();
    stage.publish(COUNT).await;
    assert_eq!(stage.dead.received().len(), tried);
    let waiting = stage.deliveries().await;
    let untried = waiting.iter().filter(|one| one.attempt_count == 0);
    assert_eq!(
        untried.count(),
        COUNT,
        "they wait without using up attempts"
    );
    assert_eq!(
        metric(&dispatcher, "reprise_circuits{state=\"open\"}").await,
        1
    );
    let opened = "reprise_circuit_changes_total{change=\"opened\"}";
    assert_eq!(metric(&dispatcher, opened).await, 1);
}

#[tokio::test]
async fn a_half_open_circuit_lets_one_delivery_through_two_dispatchers() {
    let stage = Stage::create().await;
    let url = stage.database.url();
    let _first = Dispatcher::start_with(url, &PROBES_SOON).await;
    let _second = Dispatcher::start_with(url, &PROBES_SOON).await;
    let is_hanging = Arc::new(AtomicBool::new(false));
    let script = Arc::clone(&is_hanging);
    stage.dead.answer_by("/", move |_| {
        if script.load(Ordering::SeqCst) {
            Answer::hang()
        } else {
            Answer::status(503)
        }
    });
    stage.publish(COUNT).await;
    stage.wait_for_open().await;
    is_hanging.store(true, Ordering::SeqCst);
    stage
        .world
        .wait_for_queue("lease_token IS NOT NULL", 1)
        .await;
    // Those that came before the script changed are answered; the one that hangs is leased and stays the only one.
    stage.publish(COUNT).await;
    let tried = stage.dead.received().len();
    stage.publish(COUNT).await;
    assert_eq!(stage.dead.received().len(), tried);
    stage
        .world
        .wait_for_queue("lease_token IS NOT NULL AND limited", 1)
        .await;
}

#[tokio::test]
async fn a_probe_that_fails_opens_the_circuit_again() {
    let stage = Stage::create().await;
    let dispatcher = Dispatcher::start_with(stage.database.url(), &PROBES_SOON).await;
    stage.publish(COUNT).await;
    stage.wait_for_open().await;
    let reopened = "reprise_circuit_changes_total{change=\"reopened\"}";
    let again = poll_until(PATIENCE, async || {
        let before = metric(&dispatcher, reopened).await;
        let tried = stage.dead.received().len();
        (before >= 3).then_some((before, tried))
    });
    let (before, tried) = again.await.expect("it opens again and again");
    // Each of the three probes was one request, however many deliveries wait.
    stage.publish(1).await;
    let after = metric(&dispatcher, reopened).await;
    let more = u64::try_from(stage.dead.received().len() - tried).expect("few");
    assert!(
        more <= after - before + 2,
        "{more} requests for {} probes",
        after - before
    );
}

#[tokio::test]
async fn when_the_receiver_answers_again_all_that_waited_is_delivered_once() {
    let stage = Stage::create().await;
    let url = stage.database.url();
    let first = Dispatcher::start_with(url, &PROBES_SOON).await;
    let second = Dispatcher::start_with(url, &PROBES_SOON).await;
    stage.publish(COUNT).await;
    stage.wait_for_open().await;
    stage.publish(COUNT).await;
    stage.dead.answer(Answer::status(200));
    let count = 2 * COUNT;
    stage
        .world
        .wait_for_all(stage.dead_endpoint, count, DeliveryStatus::Delivered)
        .await;
    let received = stage.dead.received();
    let attempts: u32 = stage
        .deliveries()
        .await
        .iter()
        .map(|one| one.attempt_count)
        .sum();
    assert_eq!(
        received.len(),
        usize::try_from(attempts).expect("few"),
        "no attempt was made twice"
    );
    let closed = poll_until(PATIENCE, async || {
        let endpoint = stage.world.find_endpoint(stage.dead_endpoint).await;
        endpoint.circuit_opened_at.is_none().then_some(())
    });
    assert!(closed.await.is_some(), "it never closed");
    let closing = "reprise_circuit_changes_total{change=\"closing\"}";
    let begun = metric(&first, closing).await + metric(&second, closing).await;
    assert_eq!(begun, 1, "one of them has seen the first answer");
    stage.publish(1).await;
    stage
        .world
        .wait_for_all(stage.dead_endpoint, count + 1, DeliveryStatus::Delivered)
        .await;
}

#[tokio::test]
async fn a_redelivery_goes_past_an_open_circuit_and_closes_it() {
    let stage = Stage::create().await;
    let _dispatcher = Dispatcher::start_with(stage.database.url(), &OPENS_SOON).await;
    stage.publish(COUNT).await;
    stage.wait_for_open().await;
    stage.dead.answer(Answer::status(200));
    // What is being sent can't be replayed.
    stage
        .world
        .wait_for_queue("lease_token IS NOT NULL", 0)
        .await;
    let original = stage.deliveries().await[0].id;
    stage.world.replay_express(original).await;
    stage
        .world
        .wait_for_all(stage.dead_endpoint, COUNT + 1, DeliveryStatus::Delivered)
        .await;
}

#[tokio::test]
async fn ordinary_retries_of_a_few_deliveries_never_open_a_circuit() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    receiver.answer(Answer::status(503));
    let environment = [
        ("REPRISE_CIRCUIT_FAILURES", "10"),
        ("REPRISE_CIRCUIT_FAILING_FOR", "300ms"),
    ];
    let dispatcher = Dispatcher::start_with(database.url(), &environment).await;
    let mut wanted = settings(&receiver.url("/"));
    wanted.retry = retries(&[Duration::from_secs(1); 4]);
    let endpoint = world.endpoint(&wanted).await;
    for _ in 0..3 {
        world.publish(b"{}").await;
    }
    let failed = world
        .wait_for_all(endpoint, 3, DeliveryStatus::Failed)
        .await;
    assert!(failed.iter().all(|delivery| delivery.attempt_count == 5));
    let opened = "reprise_circuit_changes_total{change=\"opened\"}";
    assert_eq!(metric(&dispatcher, opened).await, 0);
}

#[tokio::test]
async fn a_receiver_that_refuses_is_not_dead() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    receiver.answer([Answer::status(503), Answer::status(404)]);
    let dispatcher = Dispatcher::start_with(database.url(), &OPENS_SOON).await;
    let mut wanted = tireless(&receiver.url("/"));
    wanted.retry = retries(&[Duration::ZERO; 15]);
    let endpoint = world.endpoint(&wanted).await;
    for _ in 0..COUNT {
        world.publish(b"{}").await;
    }
    world
        .wait_for_all(endpoint, COUNT, DeliveryStatus::Failed)
        .await;
    let opened = "reprise_circuit_changes_total{change=\"opened\"}";
    assert_eq!(metric(&dispatcher, opened).await, 0);
}
