//! SIGSTOP of a dispatcher until its peers have taken over what it had, then SIGCONT: the late one changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reprise_faults::repeat::{each, moment, repeat};
use reprise_faults::stage::{PATIENCE, Setting, Stage, tell};
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{Api, Dispatcher, Tenant, create_endpoint, publish};
use reprise_testkit::metrics;
use reprise_testkit::polling::poll_until;
use reprise_testkit::receiver::{Answer, Receiver};
use reprise_testkit::seed::Seed;
use reprise_testkit::sql::Sql;
use serde_json::json;

/// The leases of others than the living.
const LEASED: &str = "SELECT count(*) FROM delivery_queue WHERE lease_token IS NOT NULL";

async fn metric(dispatcher: &Dispatcher, sample: &str) -> Option<f64> {
    let text = dispatcher.admin().get("/metrics").await.text();
    metrics::value(&text, sample)
}

#[test]
fn dispatcher_frozen_until_its_heirs_have_taken_over_changes_nothing() {
    repeat(async |seed: Seed| {
        let database = TestDatabase::create().await;
        // Slow, so that it has something in flight at any moment. No more is published than one of the two can send: a
        // backlog would prove nothing, and only take time.
        let setting = Setting {
            delay: Duration::from_millis(400),
            pause: Duration::from_millis(150),
            ..Setting::default()
        };
        let mut stage = Stage::start(database.url(), &setting).await;
        stage.wait_for_more(5).await;
        tokio::time::sleep(moment(&mut seed.rng(), 0, 2_000)).await;
        let frozen = &stage.dispatchers[0];
        let held = poll_until(PATIENCE, async || {
            if stage.held_by(frozen).await == 0 {
                return None;
            }
            frozen.process.stop();
            let held = stage.held_by(frozen).await;
            if held == 0 {
                frozen.process.cont();
            }
            (held > 0).then_some(held)
        });
        let in_flight = held.await.expect("it has something in flight");
        stage.wait_until_judged(frozen).await;
        stage.wait_for_more(20).await;
        stage.dispatchers[0].process.cont();
        stage.wait_for_more(20).await;
        let verdict = stage.settle().await;
        tell("dispatcher frozen and thawed", in_flight, &verdict);
        verdict.hold(in_flight);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_frozen_dispatcher_had_not_sent_yet_it_does_not_send_when_it_thaws() {
    let database = TestDatabase::create().await;
    let api = Api::start(database.url()).await;
    let tenant = Tenant::create(database.url(), "acme").await;
    let client = api.client(&tenant);
    let receiver = Receiver::start().await;
    let is_slow = Arc::new(AtomicBool::new(false));
    let slow = Arc::clone(&is_slow);
    receiver.answer_by("/", move |_| {
        let seconds = if slow.load(Ordering::SeqCst) { 60 } else { 0 };
        Answer::status(200).delay(Duration::from_secs(seconds))
    });
    let policy = json!({"timeout_seconds": 5, "max_retries": 3, "retry_schedule": [1]});
    create_endpoint(&client, &receiver.url("/"), policy).await;
    let one_at_a_time = [("REPRISE_MAX_IN_FLIGHT_PER_ENDPOINT", "1")];
    let frozen = Dispatcher::start_with(database.url(), &one_at_a_time).await;
    // Fast at first, so that more is claimed than may be in flight.
    for _ in 0..50 {
        publish(&client, "fast.one", json!({})).await;
    }
    receiver.wait_for(50, PATIENCE).await;
    is_slow.store(true, Ordering::SeqCst);
    for _ in 0..20 {
        publish(&client, "slow.one", json!({})).await;
    }
    let sql = Sql::at(database.url());
    let waits_here = poll_until(PATIENCE, async || {
        let leased = sql.number(LEASED).await;
        (leased >= 2 && receiver.received().len() > 50).then_some(leased)
    });
    let leased = waits_here.await.expect("more is claimed than is sent");
    frozen.process.stop();
    let sent_by_it = receiver.received().len();
    is_slow.store(false, Ordering::SeqCst);
    let _heir = Dispatcher::start(database.url()).await;
    let left = "SELECT count(*) FROM delivery_queue";
    sql.wait_for(left, 0, PATIENCE).await;
    let by_the_heir = receiver.received().len();
    frozen.process.cont();
    let ended = poll_until(PATIENCE, async || {
        let in_flight = metric(&frozen, "reprise_in_flight").await;
        (in_flight == Some(0.0)).then_some(())
    });
    ended.await.expect("all that it had is over");
    assert!(leased > 1, "{leased} were leased, one of them in flight");
    assert_eq!(
        receiver.received().len(),
        by_the_heir,
        "{sent_by_it} were sent before the freeze"
    );
}

#[test]
fn dispatcher_frozen_inside_a_transaction_holds_nobody_up() {
    // While it holds the lock of a limited endpoint.
    let places = ["in_claim_limited=stop@2"];
    each(&places, async |place| {
        let database = TestDatabase::create().await;
        // Little is published: all of it waits for the lock.
        let mut setting = Setting {
            dispatchers: 1,
            pause: Duration::from_millis(200),
            ..Setting::default()
        };
        setting.endpoint["max_in_flight"] = json!(4);
        let mut stage = Stage::start(database.url(), &setting).await;
        let frozen = stage.doomed_dispatcher(place).await;
        frozen.process.wait_until_stopped(PATIENCE).await;
        let in_flight = stage.held_by(&frozen).await;
        // PostgreSQL ends its session, and with it the lock.
        stage.wait_for_more(20).await;
        frozen.process.cont();
        stage.wait_for_more(20).await;
        stage.dispatchers.push(frozen);
        let verdict = stage.settle().await;
        tell(place, in_flight, &verdict);
        verdict.hold(in_flight);
    });
}
