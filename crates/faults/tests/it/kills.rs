//! kill -9 of a dispatcher, of the API, of both: at random moments, and at the worst ones.

use std::time::Duration;

use reprise_faults::repeat::{each, moment, repeat};
use reprise_faults::stage::{PATIENCE, Setting, Stage, tell};
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Dispatcher;
use reprise_testkit::seed::Seed;
use serde_json::json;

/// How long a program with an armed failpoint takes to get there.
const SOON: Duration = Duration::from_secs(30);

/// So much is on its way at any moment that whoever is killed has something in flight.
fn busy() -> Setting {
    Setting {
        pause: Duration::from_millis(60),
        delay: Duration::from_millis(200),
        ..Setting::default()
    }
}

async fn pause(moment: Duration) {
    // Chance itself: there is nothing to wait for.
    tokio::time::sleep(moment).await;
}

#[test]
fn dispatcher_killed_at_a_random_moment_loses_nothing_and_doubles_what_it_had_in_flight() {
    repeat(async |seed: Seed| {
        let database = TestDatabase::create().await;
        let mut stage = Stage::start(database.url(), &busy()).await;
        stage.wait_for_more(1).await;
        pause(moment(&mut seed.rng(), 0, 2_000)).await;
        // Often one of the two does all the work: it is that one's death that costs something.
        let first = stage.held_by(&stage.dispatchers[0]).await;
        let second = stage.held_by(&stage.dispatchers[1]).await;
        let victim = stage.dispatchers.remove(usize::from(second > first));
        victim.process.kill();
        let in_flight = stage.held_by(&victim).await;
        stage.wait_for_more(20).await;
        let verdict = stage.settle().await;
        tell("dispatcher killed", in_flight, &verdict);
        verdict.hold(in_flight);
        let lost = "SELECT count(*) FROM attempts WHERE error_kind = 'lost'";
        let lost = stage.sql.number(lost).await;
        assert!(usize::try_from(lost).expect("a count") <= in_flight);
    });
}

#[test]
fn api_killed_at_a_random_moment_loses_nothing_and_doubles_nothing() {
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
    });
}

#[test]
fn api_and_dispatchers_killed_at_once_lose_nothing() {
    repeat(async |seed: Seed| {
        let database = TestDatabase::create().await;
        let mut stage = Stage::start(database.url(), &busy()).await;
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
    });
}

/// Lets one of two dispatchers die at a failpoint, and holds the account.
async fn die_at(failpoint: &str, setting: Setting) {
    let database = TestDatabase::create().await;
    let mut stage = Stage::start(database.url(), &setting).await;
    let mut victim = stage.doomed_dispatcher(failpoint).await;
    victim.process.wait_exit(SOON).await;
    let in_flight = stage.held_by(&victim).await;
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

#[test]
fn dispatcher_killed_at_any_step_of_a_delivery_loses_nothing() {
    let places = [
        "after_claim=kill@3",
        "after_send=kill@7",
        "before_record=kill@5",
        "after_record=kill@5",
        "in_claim_limited=kill@5",
    ];
    each(&places, async |place| {
        let mut setting = one_dispatcher();
        if place.starts_with("in_claim_limited") {
            setting.endpoint["max_in_flight"] = json!(8);
        }
        die_at(place, setting).await;
    });
}

#[test]
fn api_killed_at_any_step_of_publishing_loses_nothing_and_doubles_nothing() {
    let places = [
        "before_store=kill@9",
        "after_store=kill@9",
        "before_answer=kill@9",
    ];
    each(&places, async |place| {
        let database = TestDatabase::create().await;
        let armed = [("REPRISE_FAILPOINTS", *place)];
        let mut stage = Stage::start_with(database.url(), &one_dispatcher(), &armed).await;
        stage.api.process.wait_exit(SOON).await;
        stage.replace_api().await;
        stage.wait_for_more(20).await;
        let verdict = stage.settle().await;
        tell(place, 0, &verdict);
        verdict.hold(0);
    });
}

#[test]
fn dispatchers_that_are_told_to_stop_under_load_double_nothing() {
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
    });
}

#[test]
fn api_that_is_told_to_stop_under_load_answers_what_it_has_taken() {
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
    });
}
