//! kill -9 of a dispatcher, of the API, of both: at random moments, and at the worst ones.

use std::time::Duration;

use reprise_faults::repeat::{moment, repeat};
use reprise_faults::stage::{PATIENCE, Setting, Stage, tell};
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Dispatcher;
use reprise_testkit::seed::Seed;
use serde_json::json;

/// How long a program with an armed failpoint takes to get there.
const SOON: Duration = Duration::from_secs(30);

async fn pause(moment: Duration) {
    // Chance itself: there is nothing to wait for.
    tokio::time::sleep(moment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dispatcher_killed_at_a_random_moment_loses_nothing_and_doubles_what_it_had_in_flight() {
    repeat(async |seed: Seed| {
        let database = TestDatabase::create().await;
        let mut stage = Stage::start(database.url(), &Setting::default()).await;
        stage.wait_for_more(1).await;
        pause(moment(&mut seed.rng(), 0, 2_000)).await;
        let victim = stage.dispatchers.pop().expect("there are two");
        victim.process.kill();
        let in_flight = stage.leased().await;
        stage.wait_for_more(20).await;
        let verdict = stage.settle().await;
        tell("dispatcher killed", in_flight, &verdict);
        verdict.hold(in_flight);
        let lost = "SELECT count(*) FROM attempts WHERE error_kind = 'lost'";
        let lost = stage.sql.number(lost).await;
        assert!(usize::try_from(lost).expect("a count") <= in_flight);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_killed_at_a_random_moment_loses_nothing_and_doubles_nothing() {
    repeat(async |seed: Seed| {
        let database = TestDatabase::create().await;
        let mut stage = Stage::start(database.url(), &Setting::default()).await;
        let mut rng = seed.rng();
        for _ in 0..3 {
            stage.wait_for_more(1).await;
            pause(moment(&mut rng, 0, 500)).await;
            stage.api.process.kill();
            stage.replace_api().await;
        }
        stage.wait_for_more(20).await;
        let verdict = stage.settle().await;
        tell("API killed three times", 0, &verdict);
        verdict.hold(0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_and_dispatchers_killed_at_once_lose_nothing() {
    repeat(async |seed: Seed| {
        let database = TestDatabase::create().await;
        let mut stage = Stage::start(database.url(), &Setting::default()).await;
        stage.wait_for_more(1).await;
        pause(moment(&mut seed.rng(), 0, 2_000)).await;
        stage.api.process.kill();
        for victim in stage.dispatchers.drain(..) {
            victim.process.kill();
        }
        let in_flight = stage.leased().await;
        let heir = stage.dispatcher(&[]).await;
        stage.dispatchers.push(heir);
        stage.replace_api().await;
        stage.wait_for_more(20).await;
        let verdict = stage.settle().await;
        tell("API and both dispatchers killed", in_flight, &verdict);
        verdict.hold(in_flight);
    })
    .await;
}

/// Lets one of two dispatchers die at a failpoint, and holds the account.
async fn die_at(failpoint: &str, setting: Setting) {
    let database = TestDatabase::create().await;
    let mut stage = Stage::start(database.url(), &setting).await;
    let armed = [("REPRISE_FAILPOINTS", failpoint)];
    let mut victim = stage.dispatcher(&armed).await;
    victim.process.wait_exit(SOON).await;
    let in_flight = stage.leased().await;
    stage.wait_for_more(20).await;
    let verdict = stage.settle().await;
    tell(failpoint, in_flight, &verdict);
    verdict.hold(in_flight);
}

fn one_dispatcher() -> Setting {
    Setting {
        dispatchers: 1,
        ..Setting::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dispatcher_killed_at_any_step_of_a_delivery_loses_nothing() {
    let limited = Setting {
        endpoint: json!({"timeout_seconds": 5, "max_in_flight": 8}),
        ..one_dispatcher()
    };
    tokio::join!(
        die_at("after_claim=kill@3", one_dispatcher()),
        die_at("after_send=kill@7", one_dispatcher()),
        die_at("before_record=kill@5", one_dispatcher()),
        die_at("after_record=kill@5", one_dispatcher()),
        die_at("in_claim_limited=kill@5", limited),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_killed_at_any_step_of_publishing_loses_nothing_and_doubles_nothing() {
    let die_at = async |failpoint: &str| {
        let database = TestDatabase::create().await;
        let armed = [("REPRISE_FAILPOINTS", failpoint)];
        let mut stage = Stage::start_with(database.url(), &one_dispatcher(), &armed).await;
        stage.api.process.wait_exit(SOON).await;
        stage.replace_api().await;
        stage.wait_for_more(20).await;
        let verdict = stage.settle().await;
        tell(failpoint, 0, &verdict);
        verdict.hold(0);
    };
    tokio::join!(
        die_at("before_store=kill@9"),
        die_at("after_store=kill@9"),
        die_at("before_answer=kill@9"),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dispatchers_that_are_told_to_stop_under_load_double_nothing() {
    repeat(async |seed: Seed| {
        let database = TestDatabase::create().await;
        let mut stage = Stage::start(database.url(), &Setting::default()).await;
        let mut rng = seed.rng();
        for _ in 0..3 {
            stage.wait_for_more(1).await;
            pause(moment(&mut rng, 0, 500)).await;
            let heir: Dispatcher = stage.dispatcher(&[]).await;
            let mut old = std::mem::replace(&mut stage.dispatchers[0], heir);
            old.process.terminate();
            assert!(old.process.wait_exit(PATIENCE).await.success());
        }
        let verdict = stage.settle().await;
        tell("dispatcher stopped three times", 0, &verdict);
        verdict.hold(0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_that_is_told_to_stop_under_load_answers_what_it_has_taken() {
    repeat(async |seed: Seed| {
        let database = TestDatabase::create().await;
        let mut stage = Stage::start(database.url(), &Setting::default()).await;
        let mut rng = seed.rng();
        for _ in 0..3 {
            stage.wait_for_more(1).await;
            pause(moment(&mut rng, 0, 500)).await;
            stage.api.process.terminate();
            let status = stage.api.process.wait_exit(PATIENCE).await;
            assert!(status.success(), "{status}");
            stage.replace_api().await;
        }
        let verdict = stage.settle().await;
        tell("API stopped three times", 0, &verdict);
        verdict.hold(0);
    })
    .await;
}
