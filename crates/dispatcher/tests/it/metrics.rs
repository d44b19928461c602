//! What the admin port tells: every metric is documented, and values move as they should.

use std::time::Duration;

use reprise_core::delivery::DeliveryStatus;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Dispatcher;
use reprise_testkit::metrics::{documented, exposed, value};
use reprise_testkit::polling::poll_until;
use reprise_testkit::receiver::{Answer, Receiver};

use crate::world::{PATIENCE, World, retries, settings};

async fn scrape(dispatcher: &Dispatcher) -> String {
    let answer = dispatcher.admin().get("/metrics").await;
    answer.expect_status(200).text()
}

/// Waits until all of these samples have their values at once, since those of the queue are some seconds old.
async fn wait_for(dispatcher: &Dispatcher, expected: &[(&str, f64)]) {
    let is_so = |text: &str| {
        let mut samples = expected.iter();
        samples.all(|(sample, wanted)| value(text, sample) == Some(*wanted))
    };
    let found = poll_until(PATIENCE, async || {
        is_so(&scrape(dispatcher).await).then_some(())
    });
    if found.await.is_none() {
        panic!("never {expected:?}: {}", scrape(dispatcher).await);
    }
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_one_is_there() {
    let database = TestDatabase::create().await;
    let dispatcher = Dispatcher::start(database.url()).await;
    let text = scrape(&dispatcher).await;
    assert_eq!(exposed(&text), documented("reprise-dispatcher"));
    assert!(
        !text.contains("5.0E") && text.ends_with("# EOF\n"),
        "{text}"
    );
}

#[tokio::test]
async fn attempts_and_deliveries_are_counted_by_what_came_of_them() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    receiver.answer_on("/broken", Answer::status(500));
    receiver.answer_on("/busy", Answer::status(503));
    receiver.answer_on("/reset", Answer::reset());
    let dispatcher = Dispatcher::start(database.url()).await;
    wait_for(
        &dispatcher,
        &[
            ("reprise_attempts_total{outcome=\"dns\"}", 0.0),
            ("reprise_deliveries_total{outcome=\"failed\"}", 0.0),
        ],
    )
    .await;
    for path in ["/", "/broken", "/reset"] {
        world.endpoint(&settings(&receiver.url(path))).await;
    }
    let mut patient = settings(&receiver.url("/busy"));
    patient.retry = retries(&[Duration::from_hours(1)]);
    world.endpoint(&patient).await;
    world.publish(b"{}").await;
    wait_for(
        &dispatcher,
        &[
            ("reprise_attempts_total{outcome=\"delivered\"}", 1.0),
            ("reprise_attempts_total{outcome=\"http_status\"}", 2.0),
            ("reprise_attempts_total{outcome=\"connection_lost\"}", 1.0),
            ("reprise_deliveries_total{outcome=\"delivered\"}", 1.0),
            ("reprise_deliveries_total{outcome=\"retrying\"}", 1.0),
            ("reprise_deliveries_total{outcome=\"failed\"}", 2.0),
            ("reprise_queue_wait_seconds_count", 4.0),
            ("reprise_start_wait_seconds_count", 4.0),
            ("reprise_attempt_seconds_count", 4.0),
            ("reprise_record_wait_seconds_count", 4.0),
            ("reprise_claim_batch_size_sum", 4.0),
            ("reprise_record_batch_size_sum", 4.0),
            ("reprise_queue_waiting", 1.0),
            ("reprise_queue_ready", 0.0),
        ],
    )
    .await;
    let text = scrape(&dispatcher).await;
    for count in [
        "reprise_claim_seconds_count",
        "reprise_record_seconds_count",
    ] {
        assert!(value(&text, count) > Some(0.0), "{count}");
    }
    let gets = value(&text, "reprise_pool_gets_total{got=\"at_once\"}");
    assert!(gets > Some(4.0), "{gets:?}");
    assert!(value(&text, "reprise_pool_connections") > Some(0.0));
    assert!(value(&text, "reprise_queue_seen_timestamp_seconds") > Some(1.7e9));
}

#[tokio::test]
async fn what_is_in_flight_ready_and_old_shows_while_it_is() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    receiver.answer(Answer::hang());
    let environment = [("REPRISE_MAX_IN_FLIGHT_PER_ENDPOINT", "1")];
    let dispatcher = Dispatcher::start_with(database.url(), &environment).await;
    let endpoint = world.endpoint(&settings(&receiver.url("/"))).await;
    for _ in 0..3 {
        world.publish(b"{}").await;
    }
    receiver.wait_for(1, PATIENCE).await;
    wait_for(
        &dispatcher,
        &[
            ("reprise_in_flight", 1.0),
            ("reprise_free_permits", 511.0),
            ("reprise_queue_ready", 2.0),
            ("reprise_queue_waiting", 1.0),
        ],
    )
    .await;
    let oldest = "reprise_oldest_ready_seconds{waits_for=\"dispatcher\"}";
    let first = value(&scrape(&dispatcher).await, oldest).expect("there");
    let grown = poll_until(PATIENCE, async || {
        let age = value(&scrape(&dispatcher).await, oldest)?;
        (age > first).then_some(())
    });
    assert!(grown.await.is_some(), "it gets older");
    receiver.answer(Answer::status(200));
    world.wait_for_queue("TRUE", 0).await;
    wait_for(&dispatcher, &[(oldest, 0.0), ("reprise_in_flight", 0.0)]).await;
    let delivered = world.deliveries(endpoint).await;
    let count = delivered
        .iter()
        .filter(|one| one.status == DeliveryStatus::Delivered);
    assert_eq!(count.count(), 2, "the first one hung");
}
