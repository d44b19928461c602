//! PostgreSQL that crashes, stands still, or has no connection left.

use std::time::{Duration, Instant};

use reprise_faults::repeat::{moment, repeat};
use reprise_faults::stage::{MAX_IN_FLIGHT, PATIENCE, Setting, Stage, tell};
use reprise_testkit::cluster::Cluster;
use reprise_testkit::http::Client;
use reprise_testkit::polling::poll_until;
use reprise_testkit::seed::Seed;
use reprise_testkit::sql::{Session, Sql};

/// The longest that anybody waits for an answer while PostgreSQL says nothing: the deadlines of `api/src/ingest.rs`,
/// and some for a busy machine.
const SLOWEST_ANSWER: Duration = Duration::from_secs(20);

#[test]
fn postgresql_that_crashes_under_load_costs_what_was_in_flight_at_most() {
    repeat(async |seed: Seed| {
        let mut cluster = Cluster::start().await;
        let setting = Setting::default();
        let mut stage = Stage::start(cluster.url(), &setting).await;
        stage.wait_for_more(1).await;
        tokio::time::sleep(moment(&mut seed.rng(), 0, 2_000)).await;
        // In place: it blocks this worker for a second.
        tokio::task::block_in_place(|| {
            cluster.stop_immediately();
            cluster.restart();
        });
        stage.wait_for_more(20).await;
        let verdict = stage.settle().await;
        // Claims that were not on the disk yet are forgotten, and made again.
        let in_flight = setting.dispatchers * MAX_IN_FLIGHT;
        tell("PostgreSQL stopped immediately", in_flight, &verdict);
        verdict.hold(in_flight);
    });
}

/// Slow, so that there are results to be held; and no backlog.
fn slow() -> Setting {
    Setting {
        delay: Duration::from_millis(400),
        pause: Duration::from_millis(100),
        ..Setting::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn postgresql_that_stands_still_is_answered_503_and_nothing_is_doubled_when_it_goes_on() {
    let cluster = Cluster::start().await;
    let mut stage = Stage::start(cluster.url(), &slow()).await;
    stage.wait_for_more(20).await;
    let readies: Vec<Client> = stage
        .dispatchers
        .iter()
        .map(|one| one.admin())
        .chain([stage.api.anonymous()])
        .collect();
    let in_flight = stage.wait_for_leased(2).await;
    cluster.freeze();
    let began = Instant::now();
    stage.wait_for_refusals(5).await;
    let told_after = began.elapsed();
    for ready in &readies {
        let asked = Instant::now();
        let _ = ready.get("/readyz").await.expect_status(503);
        assert!(asked.elapsed() < SLOWEST_ANSWER, "{:?}", asked.elapsed());
    }
    // Longer than the leases last: five seconds of time-out, and fifteen.
    tokio::time::sleep_until((began + Duration::from_secs(25)).into()).await;
    cluster.thaw();
    stage.wait_for_more(20).await;
    let verdict = stage.settle().await;
    tell("PostgreSQL frozen for 25 s", in_flight, &verdict);
    assert!(told_after < SLOWEST_ANSWER, "{told_after:?}");
    assert!(verdict.slowest < SLOWEST_ANSWER, "{verdict}");
    // Who held results got to record them, and what PostgreSQL claimed for nobody when it went on was given back.
    verdict.hold(0);
    let lost = "SELECT count(*) FROM attempts WHERE error_kind = 'lost'";
    assert_eq!(
        stage.sql.number(lost).await,
        0,
        "attempts that were never made"
    );
}

/// Longer than leases last, and than anybody waits for an answer.
#[cfg(feature = "full")]
const AWAY: Duration = Duration::from_mins(1);

#[cfg(feature = "full")]
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn postgresql_that_is_away_for_a_minute_is_answered_503_and_nothing_is_doubled() {
    let mut cluster = Cluster::start().await;
    let mut stage = Stage::start(cluster.url(), &slow()).await;
    stage.wait_for_more(20).await;
    let in_flight = stage.wait_for_leased(2).await;
    // In place: it blocks this worker for a second.
    tokio::task::block_in_place(|| cluster.stop());
    tokio::time::sleep(AWAY).await;
    tokio::task::block_in_place(|| cluster.restart());
    stage.wait_for_more(20).await;
    let verdict = stage.settle().await;
    tell("PostgreSQL away for a minute", in_flight, &verdict);
    assert!(verdict.unavailable > 0, "callers are told: {verdict}");
    assert!(verdict.slowest < SLOWEST_ANSWER, "{verdict}");
    // Who held results got to record them before anybody took over.
    verdict.hold(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn dispatcher_that_is_told_to_stop_while_postgresql_stands_still_ends() {
    let cluster = Cluster::start().await;
    let mut stage = Stage::start(cluster.url(), &Setting::default()).await;
    stage.wait_for_more(20).await;
    cluster.freeze();
    let mut told = stage.dispatchers.pop().expect("there are two");
    told.process.terminate();
    // Its last results are waited for, ten seconds; nothing is in flight that takes longer.
    let status = told.process.wait_exit(Duration::from_secs(45)).await;
    cluster.thaw();
    assert!(status.success(), "{status}");
    stage.wait_for_more(20).await;
    let verdict = stage.settle().await;
    tell("SIGTERM while frozen", MAX_IN_FLIGHT, &verdict);
    verdict.hold(MAX_IN_FLIGHT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn postgresql_without_a_connection_left_costs_nothing() {
    let cluster = Cluster::start_with(&[("max_connections", "24")]).await;
    let mut stage = Stage::start(cluster.url(), &Setting::default()).await;
    stage.wait_for_more(20).await;
    // Somebody takes all that there are, those of the programs too.
    let sql = Sql::at(cluster.url());
    let mut taken = vec![session(&sql).await.expect("there is one left")];
    let before = stage.publisher.unavailable();
    let refused = poll_until(PATIENCE, async || {
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                      WHERE backend_type = 'client backend' AND application_name <> 'somebody'";
        taken[0].execute(others).await.expect("it is one of them");
        while let Some(another) = session(&sql).await {
            taken.push(another);
        }
        let lines = stage.api.process.lines();
        let is_told = lines.iter().any(|line| line.contains("too many clients"));
        (is_told && stage.publisher.unavailable() >= before + 5).then_some(())
    });
    let told = "callers are told to come again, and operators why";
    refused.await.expect(told);
    let had = taken.len();
    drop(taken);
    stage.wait_for_more(20).await;
    let verdict = stage.settle().await;
    tell(&format!("{had} of 24 connections taken"), 0, &verdict);
    verdict.hold(0);
}

async fn session(sql: &Sql) -> Option<Session> {
    let mut session = sql.session().await.ok()?;
    let named = session.execute("SET application_name = 'somebody'").await;
    named.is_ok().then_some(session)
}
