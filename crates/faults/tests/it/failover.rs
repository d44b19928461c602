//! A synchronous standby takes over: what was answered 202 is on it.

use std::time::Duration;

use reprise_faults::stage::{MAX_IN_FLIGHT, Setting, Stage, tell};
use reprise_testkit::cluster::Cluster;

/// The longest that anybody waits for an answer: the deadline of a publication, and some for a busy machine.
const SLOWEST_ANSWER: Duration = Duration::from_secs(20);

/// How a primary goes.
#[derive(Clone, Copy, Debug)]
enum End {
    Crash,
    /// It accepts connections and answers nothing.
    Freeze,
}

async fn fail_over(end: End) {
    let mut primary = Cluster::start().await;
    let standby = primary.start_standby().await;
    let url = primary.url_with(&standby);
    let setting = Setting::default();
    let mut stage = Stage::start(&url, &setting).await;
    stage.wait_for_more(20).await;
    // In place: it blocks this worker for a second.
    tokio::task::block_in_place(|| {
        match end {
            End::Crash => primary.stop_immediately(),
            End::Freeze => primary.freeze(),
        }
        standby.promote();
    });
    stage.wait_for_more(20).await;
    let verdict = stage.settle().await;
    let in_flight = setting.dispatchers * MAX_IN_FLIGHT;
    tell(
        &format!("failover to a synchronous standby: {end:?}"),
        in_flight,
        &verdict,
    );
    verdict.hold(in_flight);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn synchronous_standby_of_a_crashed_primary_has_all_that_was_answered() {
    fail_over(End::Crash).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn synchronous_standby_of_a_frozen_primary_has_all_that_was_answered() {
    fail_over(End::Freeze).await;
}

/// Events are published, and the synchronous standby of where they are stored has just frozen.
async fn freeze_standby() -> (Cluster, Cluster, Stage) {
    let mut primary = Cluster::start().await;
    let standby = primary.start_standby().await;
    let stage = Stage::start(primary.url(), &Setting::default()).await;
    stage.wait_for_more(20).await;
    standby.freeze();
    (primary, standby, stage)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn while_the_synchronous_standby_is_gone_callers_are_told_and_nothing_hangs() {
    let (_primary, standby, mut stage) = freeze_standby().await;
    stage.wait_for_refusals(5).await;
    standby.thaw();
    stage.wait_for_more(20).await;
    let verdict = stage.settle().await;
    tell("synchronous standby frozen", 2 * MAX_IN_FLIGHT, &verdict);
    verdict.hold(2 * MAX_IN_FLIGHT);
    assert!(verdict.slowest < SLOWEST_ANSWER, "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn while_the_synchronous_standby_is_gone_nothing_is_accepted() {
    let (_primary, standby, mut stage) = freeze_standby().await;
    // What was on its way to the standby when that froze may still have got there.
    stage.wait_for_refusals(5).await;
    let accepted = stage.publisher.accepted();
    stage.wait_for_refusals(10).await;
    let meanwhile = stage.publisher.accepted() - accepted;
    standby.thaw();
    let verdict = stage.settle().await;
    verdict.hold(2 * MAX_IN_FLIGHT);
    assert_eq!(
        meanwhile, 0,
        "a repeat with a key was told of a commit that is on the primary only: {verdict}"
    );
}
