//! Publishing alone: no dispatcher runs, so that what is measured is the API and PostgreSQL.

use anyhow::Result;

use crate::{
    figures::{Percentiles, rate},
    load::{Pace, Until},
    report::{Cost, Row},
    settings::Settings,
    sink::Behaviour,
    stage::{Receiver, Stage},
};

/// One event per request, in a closed loop.
pub async fn run(settings: &Settings) -> Result<Vec<Row>> {
    let mut stage = Stage::start(settings, &[Receiver::that(Behaviour::Answer)]).await?;
    let bare_rate = stage.bare_rate().await?;
    stage.warm_up().await?;
    let meter = stage.meter().await?;
    let pace = Pace::Closed(Until::Elapsed(settings.duration()));
    let sent = stage.load(crate::stage::EVENT_TYPE, pace).run().await?;
    let usage = stage.used_since(meter).await?;
    let count = sent.sequences.len();
    Ok(vec![Row {
        bare_rate: Some(bare_rate),
        rate: Some(rate(count, sent.duration())),
        latency: Percentiles::of(sent.latencies),
        cost: Some(Cost { usage, count }),
        ..Row::new("publish")
    }])
}
