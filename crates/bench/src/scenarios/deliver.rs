//! Publishing and delivering at once, both as fast as they go.

use anyhow::Result;

use super::arrival::Arrival;
use crate::{
    figures::{Percentiles, rate},
    load::{Pace, Until},
    report::{Cost, Row},
    settings::Settings,
    sink::Behaviour,
    stage::{EVENT_TYPE, Receiver, Stage},
};

/// In a closed loop; the deliveries' rate counts until the last one has arrived, however far it was behind.
pub async fn run(settings: &Settings) -> Result<Vec<Row>> {
    let mut stage = Stage::start(settings, &[Receiver::that(Behaviour::Answer)]).await?;
    stage.add_dispatchers(settings.dispatchers, &[]).await;
    let bare_rate = stage.bare_rate().await?;
    stage.warm_up().await?;
    let before = stage.sink.lane(0).arrived();
    let meter = stage.meter().await?;
    let pace = Pace::Closed(Until::Elapsed(settings.duration()));
    let sent = stage.load(EVENT_TYPE, pace).run().await?;
    let count = sent.sequences.len();
    let behind = before + count - stage.sink.lane(0).arrived();
    stage.wait_for_arrival(0, before + count).await?;
    stage.wait_for_empty_queue().await?;
    let usage = stage.used_since(meter).await?;
    let arrival = Arrival::of(&stage.sink.lane(0).receipts(&sent.sequences));
    Ok(vec![Row {
        bare_rate: Some(bare_rate),
        rate: Some(rate(count, arrival.since(sent.began_ns))),
        publish_rate: Some(rate(count, sent.duration())),
        latency: Percentiles::of(arrival.latencies),
        cost: Some(Cost { usage, count }),
        verdict: Some(stage.sink.lane(0).judge(&sent.sequences)),
        notes: format!("{behind} behind when publishing ended"),
        ..Row::new("deliver")
    }])
}
