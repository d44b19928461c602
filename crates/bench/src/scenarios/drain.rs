//! Draining a backlog: the dispatchers stand still while it is published, then go on, all at once.

use anyhow::Result;

use super::arrival::Arrival;
use crate::{
    figures::rate,
    report::{Cost, Row},
    settings::Settings,
    sink::Behaviour,
    stage::{Receiver, Stage},
};

/// With as many dispatchers as the settings say.
pub async fn run(settings: &Settings) -> Result<Vec<Row>> {
    let mut stage = Stage::start(settings, &[Receiver::that(Behaviour::Answer)]).await?;
    Ok(vec![
        drain(&mut stage, settings, settings.dispatchers, "drain").await?,
    ])
}

/// Drains a backlog with some dispatchers.
pub async fn drain(
    stage: &mut Stage,
    settings: &Settings,
    dispatchers: usize,
    name: &str,
) -> Result<Row> {
    stage.add_dispatchers(dispatchers, &[]).await;
    let bare_rate = stage.bare_rate().await?;
    stage.warm_up().await?;
    let before = stage.sink.lane(0).arrived();
    stage.freeze_dispatchers();
    let sent = stage.publish_backlog(settings.backlog()).await?;
    let meter = stage.meter().await?;
    let began_ns = stage.clock.now_ns();
    stage.thaw_dispatchers();
    let count = sent.sequences.len();
    stage.wait_for_arrival(0, before + count).await?;
    stage.wait_for_empty_queue().await?;
    let usage = stage.used_since(meter).await?;
    let arrival = Arrival::of(&stage.sink.lane(0).receipts(&sent.sequences));
    Ok(Row {
        bare_rate: Some(bare_rate),
        rate: Some(rate(count, arrival.since(began_ns))),
        cost: Some(Cost { usage, count }),
        verdict: Some(stage.sink.lane(0).judge(&sent.sequences)),
        notes: format!("{count} waiting"),
        ..Row::new(name)
    })
}
