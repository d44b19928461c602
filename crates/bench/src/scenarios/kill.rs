//! `kill -9` of one of two dispatchers with work in flight: when is everything that it held sent again?

use std::{collections::HashSet, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{memory::LIMITS, steady::STEADY_RATE};
use crate::{
    clock::between,
    figures::Percentiles,
    load::Pace,
    report::Row,
    settings::Settings,
    sink::{Behaviour, Verdict},
    stage::{EVENT_TYPE, Receiver, Stage, leased_by, newest_dispatcher},
};

/// The receiver takes this long, so that some 200 deliveries are in flight at any time.
const DELAY: Duration = Duration::from_secs(1);
/// How long the dispatchers work before one is killed.
const BEFORE: Duration = Duration::from_secs(3);
/// How long events come in all: while nobody has noticed yet too.
const DURATION: Duration = Duration::from_secs(10);

/// What the killed dispatcher held.
struct Killed {
    at_ns: u64,
    held: Vec<u64>,
}

/// 200 events a second to two dispatchers; from the kill to each one's second arrival.
pub async fn run(settings: &Settings) -> Result<Row> {
    let slow = Receiver::that(Behaviour::AnswerAfter(DELAY));
    let mut stage = Stage::start(settings, &[slow]).await?;
    stage.add_dispatchers(2, &LIMITS).await;
    let bare_rate = stage.bare_rate().await?;
    let pace = Pace::Open {
        per_second: STEADY_RATE,
        duration: DURATION,
    };
    let load = stage.load(EVENT_TYPE, pace).with_connections(64);
    let (sent, killed) = tokio::join!(load.run(), kill_one(&mut stage));
    let (sent, killed) = (sent?, killed?);
    stage.wait_for_all(&sent.sequences).await?;
    let resent = resend_times(&stage, &killed)?;
    let last = resent.iter().max().copied().unwrap_or_default();
    Ok(Row {
        bare_rate: Some(bare_rate),
        notes: format!(
            "{} held; all sent again {:.1} s after the kill; latency is from the kill",
            killed.held.len(),
            last.as_secs_f64()
        ),
        latency: Percentiles::of(resent),
        verdict: Some(judge(&stage, &sent.sequences, &killed.held)),
        ..Row::new("kill")
    })
}

/// Freezes the second dispatcher, sees what it holds, and kills it.
async fn kill_one(stage: &mut Stage) -> Result<Killed> {
    let victim = newest_dispatcher(stage.conn()).await?;
    tokio::time::sleep(BEFORE).await;
    let dispatcher = stage.dispatchers.pop().context("a dispatcher")?;
    dispatcher.process.stop();
    let held = leased_by(stage.conn(), victim).await?;
    ensure!(!held.is_empty(), "the killed dispatcher held nothing");
    dispatcher.process.kill();
    let at_ns = stage.clock.now_ns();
    Ok(Killed { at_ns, held })
}

/// From the kill to the arrival after it, of each event that was held.
fn resend_times(stage: &Stage, killed: &Killed) -> Result<Vec<Duration>> {
    let receipts = stage.sink.lane(0).receipts(&killed.held);
    ensure!(
        receipts
            .iter()
            .all(|receipt| receipt.last_ns > killed.at_ns),
        "something that the killed dispatcher held was not sent again"
    );
    let times = receipts.iter();
    Ok(times
        .map(|one| between(killed.at_ns, one.last_ns))
        .collect())
}

/// What was held may have come twice, and nothing else.
fn judge(stage: &Stage, sequences: &[u64], held: &[u64]) -> Verdict {
    let held: HashSet<u64> = held.iter().copied().collect();
    let others: Vec<u64> = sequences
        .iter()
        .copied()
        .filter(|one| !held.contains(one))
        .collect();
    let lane = stage.sink.lane(0);
    Verdict {
        lost: lane.judge(sequences).lost,
        doubled: lane.judge(&others).doubled,
    }
}
