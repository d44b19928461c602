//! A healthy endpoint beside one of the same tenant that takes 10 seconds, that hangs, or that answers 500.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{delivery::Delivered, steady::STEADY_RATE};
use crate::{
    figures::{Percentiles, rate},
    load::{Pace, Sent},
    report::Row,
    settings::Settings,
    sink::Behaviour,
    stage::{Receiver, Stage, delivered_or_queued},
};

const HEALTHY: &str = "bench.healthy";
const SICK: &str = "bench.sick";

/// The healthy one's latency, while both get 200 events a second.
pub async fn run(settings: &Settings) -> Result<Vec<Row>> {
    let slow = Behaviour::AnswerAfter(Duration::from_secs(10));
    let mut rows = vec![beside(settings, "slow: takes 10 s", slow).await?];
    if !settings.quick {
        rows.push(beside(settings, "slow: hangs", Behaviour::Hang).await?);
        rows.push(beside(settings, "slow: answers 500", Behaviour::Fail).await?);
    }
    Ok(rows)
}

async fn beside(settings: &Settings, name: &str, behaviour: Behaviour) -> Result<Row> {
    let receivers = [
        Receiver::of(HEALTHY, Behaviour::Answer),
        Receiver::of(SICK, behaviour),
    ];
    let mut stage = Stage::start(settings, &receivers).await?;
    stage.add_dispatchers(settings.dispatchers, &[]).await;
    let bare_rate = stage.bare_rate().await?;
    let bare = stage.bare_latency(STEADY_RATE).await?;
    stage.warm_up_with(HEALTHY).await?;
    let pace = Pace::Open {
        per_second: STEADY_RATE,
        duration: settings.duration(),
    };
    let (healthy, sick) = tokio::join!(
        stage.load(HEALTHY, pace).run(),
        stage.load(SICK, pace).run()
    );
    let (healthy, sick) = (healthy?, sick?);
    stage.wait_for_lane(0, &healthy.sequences).await?;
    expect_all_kept(&mut stage, &sick).await?;
    let delivered = Delivered::to_one(stage.sink.lane(0), &healthy.sequences);
    let count = delivered.latencies.len();
    Ok(Row {
        bare_rate: Some(bare_rate),
        rate: Some(rate(count, delivered.since(healthy.began_ns))),
        publish_rate: Some(rate(count, healthy.duration())),
        latency: Percentiles::of(delivered.latencies),
        verdict: Some(delivered.verdict),
        notes: format!(
            "the other one got {} of {count}; {}",
            stage.sink.lane(1).arrived(),
            bare.note()
        ),
        ..Row::new(name)
    })
}

/// What the sick endpoint has not got is still waiting for it.
async fn expect_all_kept(stage: &mut Stage, sick: &Sent) -> Result<()> {
    let kept = delivered_or_queued(stage.conn(), SICK).await?;
    ensure!(
        usize::try_from(kept) == Ok(sick.sequences.len()),
        "{} events for the sick endpoint were accepted, and {kept} are delivered or waiting",
        sick.sequences.len()
    );
    Ok(())
}
