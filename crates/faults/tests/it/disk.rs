//! A disk of PostgreSQL's that is full under load: a real one, of a size that a test can fill.

use std::time::{Duration, Instant};

use reprise_faults::stage::{MAX_IN_FLIGHT, PATIENCE, Setting, Stage, tell};
use reprise_testkit::cluster::Cluster;
use reprise_testkit::disk::SmallDisk;
use reprise_testkit::polling::poll_until;
use reprise_testkit::sandbox;

/// Room for a new server and a few minutes of events.
const MEGABYTES: usize = 400;
/// How long the disk is full: longer than leases last, five seconds of time-out and fifteen.
const FULL_FOR: Duration = Duration::from_secs(25);
/// The longest that a caller waits for an answer: the deadline of a publication, and some for a busy machine.
const SLOWEST_ANSWER: Duration = Duration::from_secs(20);

/// Runs a test of this file with mounts of its own.
fn with_mounts(test: &str, work: impl AsyncFnOnce()) {
    sandbox::run(&format!("disk::{test}"), &["alone"], async |_| work().await);
}

/// Fills the disk while events are published, until callers are told to come again and the log says why.
async fn fill(disk: &SmallDisk, stage: &Stage) {
    let before = stage.publisher.unavailable();
    let told = poll_until(PATIENCE, async || {
        // Again and again: PostgreSQL gives room back, too.
        disk.fill();
        let lines = stage.api.process.lines();
        let is_told = lines.iter().any(|line| line.contains("No space left"));
        (is_told && stage.publisher.unavailable() >= before + 10).then_some(())
    });
    let told = told.await;
    told.expect("callers are told to come again, and operators why");
}

#[test]
fn tables_without_room_cost_nothing_and_take_events_again_when_there_is_some() {
    with_mounts(
        "tables_without_room_cost_nothing_and_take_events_again_when_there_is_some",
        async || {
            let disk = SmallDisk::mount(MEGABYTES);
            let cluster = Cluster::start().await;
            cluster.move_tables_to(&disk).await;
            let mut stage = Stage::start(cluster.url(), &Setting::default()).await;
            stage.wait_for_more(20).await;
            let began = Instant::now();
            fill(&disk, &stage).await;
            tokio::time::sleep_until((began + FULL_FOR).into()).await;
            disk.make_room();
            stage.wait_for_more(20).await;
            let verdict = stage.settle().await;
            tell("disk of the tables full", 0, &verdict);
            assert!(verdict.slowest < SLOWEST_ANSWER, "{verdict}");
            // Nobody has died: results were held until there was room for them.
            verdict.hold(0);
        },
    );
}

#[test]
fn server_without_room_for_anything_loses_nothing_and_goes_on_when_there_is_some() {
    with_mounts(
        "server_without_room_for_anything_loses_nothing_and_goes_on_when_there_is_some",
        async || {
            let disk = SmallDisk::mount(MEGABYTES);
            let mut cluster = Cluster::start_on(&disk, &[]).await;
            let mut stage = Stage::start(cluster.url(), &Setting::default()).await;
            stage.wait_for_more(20).await;
            let began = Instant::now();
            fill(&disk, &stage).await;
            // The next piece of its log is one too many: it ends itself, and cannot even start.
            let _ = stage.sql.try_number("SELECT count(pg_switch_wal())").await;
            stage.wait_for_refusals(10).await;
            tokio::time::sleep_until((began + FULL_FOR).into()).await;
            let has_ended = stage.sql.try_number("SELECT 1").await.is_err();
            disk.make_room();
            // In place: it blocks this worker for a second.
            tokio::task::block_in_place(|| cluster.restart());
            stage.wait_for_more(20).await;
            let verdict = stage.settle().await;
            tell("disk of the server full", 2 * MAX_IN_FLIGHT, &verdict);
            assert!(has_ended, "the log was to be full as well");
            assert!(verdict.slowest < SLOWEST_ANSWER, "{verdict}");
            verdict.hold(2 * MAX_IN_FLIGHT);
        },
    );
}
