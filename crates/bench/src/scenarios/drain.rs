//! Draining a backlog: the dispatchers stand still while it is published, then go on, all at once.

use anyhow::Result;

use super::delivery::Delivered;
use crate::{
    figures::rate,
    load::Sent,
    report::{Cost, Row},
    settings::Settings,
    sink::Behaviour,
    stage::{Receiver, Stage},
};

/// With as many dispatchers as the settings say.
pub async fn run(settings: &Settings) -> Result<Row> {
    let mut stage = start(settings, settings.dispatchers).await?;
    drain(&mut stage, settings, "drain").await
}

/// A stage with one healthy receiver and some dispatchers.
pub async fn start(settings: &Settings, dispatchers: usize) -> Result<Stage> {
    let mut stage = Stage::start(settings, &[Receiver::that(Behaviour::Answer)]).await?;
    stage.add_dispatchers(dispatchers, &[]).await;
    Ok(stage)
}

/// Drains a backlog.
pub async fn drain(stage: &mut Stage, settings: &Settings, name: &str) -> Result<Row> {
    let bare_rate = stage.bare_rate().await?;
    let sent = fill(stage, settings.backlog()).await?;
    let meter = stage.meter().await?;
    let began_ns = stage.clock.now_ns();
    stage.thaw_dispatchers();
    stage.wait_for_all(&sent.sequences).await?;
    let usage = stage.used_since(meter).await?;
    let delivered = Delivered::to_all(stage, &sent.sequences);
    let count = delivered.latencies.len();
    Ok(Row {
        bare_rate: Some(bare_rate),
        rate: Some(rate(count, delivered.since(began_ns))),
        cost: Some(Cost { usage, count }),
        verdict: Some(delivered.verdict),
        notes: format!("{count} waiting"),
        ..Row::new(name)
    })
}

/// Warms up, and publishes a backlog while the dispatchers stand still, as they do afterwards.
pub async fn fill(stage: &mut Stage, events: u64) -> Result<Sent> {
    stage.warm_up().await?;
    stage.freeze_dispatchers();
    stage.publish_backlog(events).await
}
