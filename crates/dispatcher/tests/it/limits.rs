//! Limits of an endpoint, over several dispatchers and at a real receiver.

use std::time::Duration;

use reprise_core::attempt::Attempt;
use reprise_core::delivery::DeliveryStatus;
use reprise_core::endpoint::{EndpointLimits, EndpointSettings};
use reprise_core::ids::EndpointId;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Dispatcher;
use reprise_testkit::receiver::{Answer, Receiver};
use time::OffsetDateTime;

use crate::world::{PATIENCE, World, settings};

fn limited(
    url: &str,
    rate_per_second: Option<u32>,
    max_in_flight: Option<u32>,
) -> EndpointSettings {
    EndpointSettings {
        limits: EndpointLimits {
            rate_per_second,
            max_in_flight,
        },
        ..settings(url)
    }
}

/// The attempts at an endpoint, when all of its `count` deliveries have arrived.
async fn attempts(world: &World, endpoint: EndpointId, count: usize) -> Vec<Attempt> {
    let all = world
        .wait_for_all(endpoint, count, DeliveryStatus::Delivered)
        .await;
    let mut attempts = Vec::new();
    for delivery in all {
        attempts.extend(world.attempts(delivery.id).await);
    }
    attempts
}

/// Whether an attempt was under way at an instant.
fn is_under_way(attempt: &Attempt, at: OffsetDateTime) -> bool {
    let duration = attempt.duration.expect("it has ended");
    attempt.started_at <= at && at < attempt.started_at + duration
}

async fn dispatchers(database: &TestDatabase) -> [Dispatcher; 3] {
    [
        Dispatcher::start(database.url()).await,
        Dispatcher::start(database.url()).await,
        Dispatcher::start(database.url()).await,
    ]
}

#[tokio::test]
async fn no_more_are_in_flight_than_allowed_over_three_dispatchers_and_others_are_not_held_up() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let (slow, fast) = (Receiver::start().await, Receiver::start().await);
    slow.answer([Answer::status(200).delay(Duration::from_millis(30))]);
    let endpoint = world
        .endpoint(&limited(&slow.url("/"), None, Some(2)))
        .await;
    world.endpoint(&settings(&fast.url("/"))).await;
    for _ in 0..30 {
        world.publish_quietly(b"{}").await;
    }
    let _dispatchers = dispatchers(&database).await;
    world.wake().await;
    fast.wait_for(30, PATIENCE).await;
    slow.wait_for(30, PATIENCE).await;
    let attempts = attempts(&world, endpoint, 30).await;
    for one in &attempts {
        let at_once = attempts
            .iter()
            .filter(|other| is_under_way(other, one.started_at));
        assert!(at_once.count() <= 2, "more than two at once");
    }
}

#[tokio::test]
async fn receiver_gets_no_more_a_second_than_its_rate_from_three_dispatchers() {
    const RATE: u32 = 20;
    const COUNT: usize = 30;
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let endpoint = world
        .endpoint(&limited(&receiver.url("/"), Some(RATE), None))
        .await;
    for _ in 0..COUNT {
        world.publish_quietly(b"{}").await;
    }
    let _dispatchers = dispatchers(&database).await;
    world.wake().await;
    receiver.wait_for(COUNT, PATIENCE).await;
    // By when they were begun; what comes late never makes more of them fall into a second.
    let mut began: Vec<_> = attempts(&world, endpoint, COUNT)
        .await
        .iter()
        .map(|attempt| attempt.started_at)
        .collect();
    began.sort_unstable();
    let whole = began[COUNT - 1] - began[0];
    // One slot is taken at once, and then one comes each twentieth of a second; a claim may be late by what it takes.
    let least = time::Duration::SECOND / RATE * u32::try_from(COUNT - 1).expect("few") * 0.8;
    assert!(whole >= least, "{COUNT} attempts in {whole}");
}

#[tokio::test]
async fn places_of_a_killed_dispatcher_come_free() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    receiver.answer([Answer::hang(), Answer::status(200)]);
    // The doomed one is killed long before it would give up by itself, however slow the machine is.
    let mut wanted = limited(&receiver.url("/"), None, Some(1));
    wanted.timeout = Duration::from_mins(1);
    let endpoint = world.endpoint(&wanted).await;
    let doomed = Dispatcher::start(database.url()).await;
    world.publish(b"{}").await;
    receiver.wait_for(1, PATIENCE).await;
    doomed.process.kill();
    world.publish(b"{}").await;
    world
        .wait_for_queue("lease_token IS NOT NULL AND limited", 1)
        .await;
    let _heir = Dispatcher::start(database.url()).await;
    world.pass_leases().await;
    receiver.wait_for(2, PATIENCE).await;
    let second = world.deliveries(endpoint).await.remove(0);
    let delivered = world.wait_for_one(second.id, DeliveryStatus::Delivered);
    assert_eq!(delivered.await.attempt_count, 1);
    let first = world.deliveries(endpoint).await.remove(1);
    let first = world.wait_for_one(first.id, DeliveryStatus::Failed).await;
    let kinds = world.error_kinds(first.id).await;
    assert_eq!(kinds, [Some("lost".to_owned())]);
}
