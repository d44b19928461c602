//! The soak: a survivor of each program that only lives through what happens around it, and others that are killed.

mod fault;
mod meters;

use std::time::{Duration, Instant};

use reprise_faults::{
    repeat::moment,
    stage::{MAX_IN_FLIGHT, PATIENCE, Setting, Stage},
};
use reprise_testkit::{cluster::Cluster, fixture::Dispatcher, seed::Seed};

use fault::Fault;
use meters::Meters;

/// How long there is load without a fault, before the meters are read, and again in the end.
const QUIET: Duration = Duration::from_secs(30);
/// Callers that publish.
const CALLERS: usize = 8;
/// Events a second at most: the tables of an hour are to fit on a developer's disk.
const MAX_RATE: f64 = 200.0;
/// A fault comes so long after the last one, in milliseconds.
const BETWEEN_MS: (u64, u64) = (3_000, 12_000);

/// Runs it and holds the account.
pub(super) async fn run(duration: Duration, seed: Seed) {
    eprintln!("soaking for {duration:?}, {seed}");
    let mut cluster = Cluster::start().await;
    let mut stage = Stage::start(cluster.url(), &setting(Duration::ZERO)).await;
    pace(&mut stage).await;
    let mut victim = stage.dispatchers.pop().expect("there are two");
    tokio::time::sleep(QUIET).await;
    let before = Meters::read(&stage).await;
    eprintln!("before: {before}");

    let mut rng = seed.rng();
    let (began, mut faults, mut in_flight) = (Instant::now(), 0, 0);
    while began.elapsed() < duration {
        tokio::time::sleep(moment(&mut rng, BETWEEN_MS.0, BETWEEN_MS.1)).await;
        let fault = Fault::any(&mut rng);
        in_flight += cause(fault, &mut stage, &mut cluster, &mut victim).await;
        faults += 1;
        stage.wait_for_more(20).await;
        eprintln!(
            "{:>6.0?} {fault:?}: {} accepted, {} came, {} of them again",
            began.elapsed(),
            stage.publisher.accepted(),
            stage.journal.arrived(),
            stage.journal.repeats()
        );
    }

    tokio::time::sleep(QUIET).await;
    let after = Meters::read(&stage).await;
    eprintln!("after: {after}");
    let verdict = stage.settle().await;
    eprintln!(
        "MEASURED soak of {duration:?}, {faults} faults, {in_flight} in flight at them: {verdict}"
    );
    verdict.hold(in_flight);
    after.hold_against(&before);
    drop(victim);
}

fn setting(pause: Duration) -> Setting {
    Setting {
        callers: CALLERS,
        pause,
        ..Setting::default()
    }
}

/// Sees what the stage carries, and publishes half as much from then on.
async fn pace(stage: &mut Stage) {
    let (began, before) = (Instant::now(), stage.publisher.accepted());
    tokio::time::sleep(QUIET / 3).await;
    let accepted = stage.publisher.accepted() - before;
    let rate = f64::from(u32::try_from(accepted).expect("few")) / began.elapsed().as_secs_f64();
    let half = (rate / 2.0).min(MAX_RATE);
    // A caller's call takes as long as before, so that as long a pause halves the rate.
    let callers = f64::from(u32::try_from(CALLERS).expect("few"));
    let pause = Duration::from_secs_f64(callers / half - callers / rate);
    eprintln!("{rate:.0} events a second are accepted without a pause; half load is {half:.0}");
    stage.publisher.pause_for(pause);
}

/// Does harm, and puts right what does not come back by itself. Returns how many deliveries may come twice for it.
async fn cause(
    fault: Fault,
    stage: &mut Stage,
    cluster: &mut Cluster,
    victim: &mut Dispatcher,
) -> usize {
    match fault {
        Fault::DispatcherKilled => {
            victim.process.kill();
            let in_flight = stage.leased().await;
            *victim = stage.dispatcher(&[]).await;
            in_flight
        }
        Fault::DispatcherFrozen(time) => {
            victim.process.stop();
            let in_flight = stage.leased().await;
            tokio::time::sleep(time).await;
            victim.process.cont();
            in_flight
        }
        Fault::DispatcherStopped => {
            victim.process.terminate();
            assert!(victim.process.wait_exit(PATIENCE).await.success());
            *victim = stage.dispatcher(&[]).await;
            0
        }
        Fault::ApiKilled => {
            let another = stage.another_api().await;
            stage.publisher.turn_to(another.client(&stage.tenant));
            stage.wait_for_more(20).await;
            another.process.kill();
            stage.publisher.turn_to(stage.api.client(&stage.tenant));
            0
        }
        Fault::PostgresCrashed => {
            tokio::task::block_in_place(|| {
                cluster.stop_immediately();
                cluster.restart();
            });
            2 * MAX_IN_FLIGHT
        }
        Fault::PostgresFrozen(time) => {
            cluster.freeze();
            tokio::time::sleep(time).await;
            cluster.thaw();
            2 * MAX_IN_FLIGHT
        }
        Fault::SessionsEnded => {
            let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                          WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
            stage.sql.number(others).await;
            0
        }
    }
}
