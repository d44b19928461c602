//! Wall clocks that are an hour wrong, or jump by one: only signatures know of it.

use std::time::Duration;

use reprise_faults::repeat::each;
use reprise_faults::stage::{PATIENCE, Setting, Stage, tell};
use reprise_testkit::clock::Clock;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{Api, Dispatcher, Tenant, create_endpoint, publish};
use reprise_testkit::receiver::{Answer, Received, Receiver};
use serde_json::json;

const HOUR: i64 = 3_600;

/// How far ahead the clock is by which a request was signed.
fn ahead(request: &Received) -> i64 {
    let timestamp = request.header("webhook-timestamp").expect("it is signed");
    timestamp.parse::<i64>().expect("seconds") - request.received_at.unix_timestamp()
}

fn is_about(seconds: i64, expected: i64) -> bool {
    (seconds - expected).abs() <= 60
}

/// A retry two seconds after a failure, by a dispatcher whose clock is wrong from its start, and jumps the other way
/// between the attempts.
async fn retry_by_a_clock_that_is(off: i64) {
    let database = TestDatabase::create().await;
    let api = Api::start(database.url()).await;
    let tenant = Tenant::create(database.url(), "acme").await;
    let client = api.client(&tenant);
    let receiver = Receiver::start().await;
    // Slow, so that its lease is seen by the peer; the retry comes when PostgreSQL's clock says so.
    let slow = Answer::status(500).delay(Duration::from_secs(1));
    receiver.answer(vec![slow, Answer::status(200)]);
    let policy = json!({"timeout_seconds": 5, "retry_schedule": [2]});
    create_endpoint(&client, &receiver.url("/"), policy).await;
    let clock = Clock::new();
    clock.set(off);
    let _wrong = Dispatcher::start_with(database.url(), &clock.environment()).await;
    publish(&client, "clock.test", json!({})).await;
    receiver.wait_for(1, PATIENCE).await;
    clock.set(-off);
    let both = receiver.wait_for(2, PATIENCE).await;
    let apart = both[1].at - both[0].at;
    assert!(apart >= Duration::from_secs(3), "{apart:?}");
    assert!(apart < Duration::from_secs(30), "{apart:?}");
    assert!(is_about(ahead(&both[0]), off), "{}", ahead(&both[0]));
    assert!(is_about(ahead(&both[1]), -off), "{}", ahead(&both[1]));
}

#[test]
fn retries_come_by_the_clock_of_the_database_and_signatures_carry_their_own() {
    each(&[HOUR, -HOUR], async |off| {
        retry_by_a_clock_that_is(*off).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_jump_an_hour_either_way_under_load_cost_nothing() {
    let database = TestDatabase::create().await;
    let clock = Clock::new();
    let wrong = clock.environment();
    let mut stage = Stage::start_with(database.url(), &Setting::default(), &wrong).await;
    // One with a right clock beside them.
    let right = stage.dispatcher(&[]).await;
    stage.dispatchers.push(right);
    for seconds in [HOUR, -HOUR, HOUR, 0] {
        stage.wait_for_more(20).await;
        clock.set(seconds);
    }
    stage.wait_for_more(20).await;
    let verdict = stage.settle().await;
    tell("clocks that jump an hour four times", 0, &verdict);
    verdict.hold(0);
    let lost = "SELECT count(*) FROM attempts WHERE error_kind = 'lost'";
    assert_eq!(stage.sql.number(lost).await, 0, "no lease ended early");
}
