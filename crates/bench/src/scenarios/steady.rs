//! Latency under a constant rate, from the scheduled time of publishing to the receipt.

use std::time::Duration;

use anyhow::Result;

use super::{delivery::Delivered, drain};
use crate::{
    figures::{Percentiles, rate},
    load::Pace,
    report::{Cost, Row},
    settings::Settings,
    stage::{EVENT_TYPE, Stage},
};

/// The rate of the table.
pub const STEADY_RATE: u32 = 200;

/// At 200 events a second.
pub async fn run(settings: &Settings) -> Result<Row> {
    let mut stage = drain::start(settings, settings.dispatchers).await?;
    let bare_rate = stage.bare_rate().await?;
    let bare = stage.bare_latency(STEADY_RATE).await?;
    stage.warm_up().await?;
    let row = measure(&mut stage, STEADY_RATE, settings.duration(), "steady").await?;
    Ok(Row {
        bare_rate: Some(bare_rate),
        notes: bare.note(),
        ..row
    })
}

/// Publishes at a constant rate, and waits until all has arrived and is recorded.
pub async fn measure(
    stage: &mut Stage,
    per_second: u32,
    duration: Duration,
    name: &str,
) -> Result<Row> {
    let meter = stage.meter().await?;
    let pace = Pace::Open {
        per_second,
        duration,
    };
    let sent = stage.load(EVENT_TYPE, pace).run().await?;
    stage.wait_for_all(&sent.sequences).await?;
    let usage = stage.used_since(meter).await?;
    let delivered = Delivered::to_all(stage, &sent.sequences);
    let count = delivered.latencies.len();
    Ok(Row {
        rate: Some(rate(count, delivered.since(sent.began_ns))),
        publish_rate: Some(rate(sent.sequences.len(), sent.duration())),
        latency: Percentiles::of(delivered.latencies),
        cost: Some(Cost { usage, count }),
        verdict: Some(delivered.verdict),
        ..Row::new(name)
    })
}
