//! Publishing and delivering at once, both as fast as they go.

use std::time::Duration;

use anyhow::Result;

use super::delivery::Delivered;
use crate::{
    figures::{Percentiles, rate},
    load::{Pace, Until},
    report::{Cost, Row},
    settings::Settings,
    sink::Behaviour,
    stage::{EVENT_TYPE, Receiver, Stage},
};

/// Endpoints that each event goes to in the fan-out.
const FANOUT: usize = 10;

/// Every event to one endpoint.
pub async fn run(settings: &Settings) -> Result<Row> {
    measure(settings, 1, "deliver").await
}

/// Every event to ten endpoints.
pub async fn run_fanout(settings: &Settings) -> Result<Row> {
    measure(settings, FANOUT, "fanout").await
}

async fn measure(settings: &Settings, endpoints: usize, name: &str) -> Result<Row> {
    let receivers = vec![Receiver::that(Behaviour::Answer); endpoints];
    let mut stage = Stage::start(settings, &receivers).await?;
    stage.add_dispatchers(settings.dispatchers, &[]).await;
    let bare_rate = stage.bare_rate().await?;
    stage.warm_up().await?;
    let row = saturate(&mut stage, settings.duration(), name).await?;
    Ok(Row {
        bare_rate: Some(bare_rate),
        ..row
    })
}

/// Publishes in a closed loop. The deliveries' rate counts until the last one has arrived, however far it was behind.
pub async fn saturate(stage: &mut Stage, duration: Duration, name: &str) -> Result<Row> {
    let meter = stage.meter().await?;
    let pace = Pace::Closed(Until::Elapsed(duration));
    let sent = stage.load(EVENT_TYPE, pace).run().await?;
    let behind = stage.behind(&sent.sequences);
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
        notes: format!("{behind} under way when publishing ended"),
        ..Row::new(name)
    })
}
