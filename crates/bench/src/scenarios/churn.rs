//! Minutes of publishing and delivering: does the queue's table grow, and does the claim get slower?

mod growth;

use std::time::Duration;

use anyhow::Result;

use self::growth::{Growth, Sample};
use super::{delivery::Delivered, drain, load_latency::saturated_rate};
use crate::{
    figures::{Percentiles, rate},
    findings::Findings,
    load::Pace,
    report::{Cost, Row},
    settings::Settings,
    stage::{EVENT_TYPE, Stage},
};

/// Percent of the saturated rate: below it, so that the queue is short and what grows is what is dead.
const SHARE: u32 = 60;
/// Samples in all.
const SAMPLES: u32 = 12;

/// Publishes at a good part of the saturated rate, and looks at the queue from time to time.
pub async fn run(settings: &Settings) -> Result<Findings> {
    let mut stage = drain::start(settings, settings.dispatchers).await?;
    let bare_rate = stage.bare_rate().await?;
    stage.warm_up().await?;
    let per_second = (saturated_rate(&mut stage, settings).await? * SHARE / 100).max(1);
    let duration = settings.churn_duration();
    let pace = Pace::Open {
        per_second,
        duration,
    };
    let meter = stage.meter().await?;
    let load = stage.load(EVENT_TYPE, pace).with_connections(64);
    let (sent, growth) = tokio::join!(load.run(), watch(&mut stage, duration));
    let (sent, growth) = (sent?, growth?);
    stage.wait_for_all(&sent.sequences).await?;
    let usage = stage.used_since(meter).await?;
    let delivered = Delivered::to_all(&stage, &sent.sequences);
    let count = delivered.latencies.len();
    let row = Row {
        bare_rate: Some(bare_rate),
        rate: Some(rate(count, delivered.since(sent.began_ns))),
        publish_rate: Some(rate(count, sent.duration())),
        latency: Percentiles::of(delivered.latencies),
        cost: Some(Cost { usage, count }),
        verdict: Some(delivered.verdict),
        notes: format!("{} s; {}", duration.as_secs(), growth.summary()),
        ..Row::new("churn")
    };
    Ok(Findings {
        rows: vec![row],
        sections: vec![growth.table()],
        ..Findings::default()
    })
}

async fn watch(stage: &mut Stage, duration: Duration) -> Result<Growth> {
    let mut ticks = tokio::time::interval(duration / SAMPLES);
    let mut growth = Growth::default();
    for _ in 0..SAMPLES {
        ticks.tick().await;
        growth.add(Sample::take(stage.conn()).await?);
    }
    Ok(growth)
}
