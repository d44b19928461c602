//! Latency under a constant rate, from the scheduled time of publishing to the receipt.

use anyhow::Result;

use super::arrival::Arrival;
use crate::{
    figures::{Percentiles, rate},
    load::Pace,
    report::{Cost, Row},
    settings::Settings,
    sink::Behaviour,
    stage::{EVENT_TYPE, Receiver, Stage},
};

/// The rate of the table.
pub const STEADY_RATE: u32 = 200;

/// At 200 events a second.
pub async fn run(settings: &Settings) -> Result<Vec<Row>> {
    let mut stage = Stage::start(settings, &[Receiver::that(Behaviour::Answer)]).await?;
    stage.add_dispatchers(settings.dispatchers, &[]).await;
    let bare_rate = stage.bare_rate().await?;
    stage.warm_up().await?;
    let row = measure(&mut stage, settings, STEADY_RATE, "steady").await?;
    Ok(vec![Row {
        bare_rate: Some(bare_rate),
        ..row
    }])
}

/// Publishes at a constant rate, and waits until all has arrived and is recorded.
pub async fn measure(
    stage: &mut Stage,
    settings: &Settings,
    per_second: u32,
    name: &str,
) -> Result<Row> {
    let before = stage.sink.lane(0).arrived();
    let meter = stage.meter().await?;
    let pace = Pace::Open {
        per_second,
        duration: settings.duration(),
    };
    let sent = stage.load(EVENT_TYPE, pace).run().await?;
    let count = sent.sequences.len();
    stage.wait_for_arrival(0, before + count).await?;
    stage.wait_for_empty_queue().await?;
    let usage = stage.used_since(meter).await?;
    let arrival = Arrival::of(&stage.sink.lane(0).receipts(&sent.sequences));
    Ok(Row {
        rate: Some(rate(count, arrival.since(sent.began_ns))),
        publish_rate: Some(rate(count, sent.duration())),
        latency: Percentiles::of(arrival.latencies),
        cost: Some(Cost { usage, count }),
        verdict: Some(stage.sink.lane(0).judge(&sent.sequences)),
        ..Row::new(name)
    })
}
