//! A healthy endpoint beside one of the same tenant that takes 10 seconds, that hangs, or that answers 500.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{arrival::Arrival, steady::STEADY_RATE};
use crate::{
    figures::{Percentiles, rate},
    load::{Pace, Sent},
    report::Row,
    settings::Settings,
    sink::Behaviour,
    stage::{Receiver, Stage, settled_or_queued},
};

const HEALTHY: &str = "bench.healthy";
const SICK: &str = "bench.sick";

/// The healthy one's latency, while both get 200 events a second.
pub async fn run(settings: &Settings) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, behaviour) in [
        (
            "slow: 10 s",
            Behaviour::AnswerAfter(Duration::from_secs(10)),
        ),
        ("slow: hangs", Behaviour::Hang),
        ("slow: answers 500", Behaviour::Fail),
    ] {
        rows.push(beside(settings, name, behaviour).await?);
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
    stage.warm_up_with(HEALTHY).await?;
    let before = stage.sink.lane(0).arrived();
    let pace = Pace::Open {
        per_second: STEADY_RATE,
        duration: settings.duration(),
    };
    let (healthy, sick) = tokio::join!(
        stage.load(HEALTHY, pace).run(),
        stage.load(SICK, pace).run()
    );
    let (healthy, sick) = (healthy?, sick?);
    stage
        .wait_for_arrival(0, before + healthy.sequences.len())
        .await?;
    expect_all_kept(&mut stage, &sick).await?;
    let arrival = Arrival::of(&stage.sink.lane(0).receipts(&healthy.sequences));
    Ok(Row {
        bare_rate: Some(bare_rate),
        rate: Some(rate(
            healthy.sequences.len(),
            arrival.since(healthy.began_ns),
        )),
        latency: Percentiles::of(arrival.latencies),
        verdict: Some(stage.sink.lane(0).judge(&healthy.sequences)),
        notes: format!(
            "the sick one got {} of as many",
            stage.sink.lane(1).arrived()
        ),
        ..Row::new(name)
    })
}

/// What the sick endpoint has not got is still waiting for it.
async fn expect_all_kept(stage: &mut Stage, sick: &Sent) -> Result<()> {
    let kept = settled_or_queued(stage.conn(), SICK).await?;
    ensure!(
        usize::try_from(kept) == Ok(sick.sequences.len()),
        "{} events for the sick endpoint were accepted, and {kept} are delivered or waiting",
        sick.sequences.len()
    );
    Ok(())
}
