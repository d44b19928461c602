//! Memory with 512 permits in use at a slow receiver.

use std::time::Duration;

use anyhow::Result;

use super::delivery::Delivered;
use crate::{
    figures::rate,
    report::{Cost, Row},
    settings::Settings,
    sink::Behaviour,
    stage::{Receiver, Stage},
};

/// Of one endpoint's deliveries 512; of all so many more that what a dispatcher keeps for redeliveries, for others'
/// endpoints and for quick ones does not count.
pub const LIMITS: [(&str, &str); 3] = [
    ("REPRISE_MAX_IN_FLIGHT", "784"),
    ("REPRISE_MAX_IN_FLIGHT_PER_TENANT", "683"),
    ("REPRISE_MAX_IN_FLIGHT_PER_ENDPOINT", "512"),
];
/// Long enough that all permits are taken before the first comes back.
const DELAY: Duration = Duration::from_secs(2);
/// Every permit is used three times.
const EVENTS: u64 = 3 * 512;

/// One dispatcher works off a backlog that keeps all its permits in use.
pub async fn run(settings: &Settings) -> Result<Row> {
    let slow = Receiver::that(Behaviour::AnswerAfter(DELAY));
    let mut stage = Stage::start(settings, &[slow]).await?;
    stage.add_dispatchers(1, &LIMITS).await;
    let bare_rate = stage.bare_rate().await?;
    let meter = stage.meter().await?;
    let sent = stage.publish_backlog(EVENTS).await?;
    stage.wait_for_all(&sent.sequences).await?;
    let usage = stage.used_since(meter).await?;
    let delivered = Delivered::to_all(&stage, &sent.sequences);
    let count = delivered.latencies.len();
    Ok(Row {
        bare_rate: Some(bare_rate),
        rate: Some(rate(count, delivered.since(sent.began_ns))),
        cost: Some(Cost { usage, count }),
        verdict: Some(delivered.verdict),
        notes: format!("{} in flight at most", stage.sink.lane(0).peak_waiting()),
        ..Row::new("memory")
    })
}
