//! Memory with 512 deliveries in flight at a slow receiver.

use std::time::Duration;

use anyhow::Result;

use super::arrival::Arrival;
use crate::{
    figures::rate,
    report::{Cost, Row},
    settings::Settings,
    sink::Behaviour,
    stage::{Receiver, Stage},
};

/// Of one endpoint's deliveries as many as a dispatcher takes of all by default.
const LIMITS: [(&str, &str); 2] = [
    ("REPRISE_MAX_IN_FLIGHT_PER_TENANT", "512"),
    ("REPRISE_MAX_IN_FLIGHT_PER_ENDPOINT", "512"),
];
/// Long enough that all permits are taken before the first comes back.
const DELAY: Duration = Duration::from_secs(2);
/// Every permit is used three times.
const EVENTS: u64 = 3 * 512;

/// One dispatcher works off a backlog that keeps all its permits in use.
pub async fn run(settings: &Settings) -> Result<Vec<Row>> {
    let slow = Receiver::that(Behaviour::AnswerAfter(DELAY));
    let mut stage = Stage::start(settings, &[slow]).await?;
    stage.add_dispatchers(1, &LIMITS).await;
    let bare_rate = stage.bare_rate().await?;
    let meter = stage.meter().await?;
    let sent = stage.publish_backlog(EVENTS).await?;
    let count = sent.sequences.len();
    stage.wait_for_arrival(0, count).await?;
    stage.wait_for_empty_queue().await?;
    let usage = stage.used_since(meter).await?;
    let arrival = Arrival::of(&stage.sink.lane(0).receipts(&sent.sequences));
    Ok(vec![Row {
        bare_rate: Some(bare_rate),
        rate: Some(rate(count, arrival.since(sent.began_ns))),
        cost: Some(Cost { usage, count }),
        verdict: Some(stage.sink.lane(0).judge(&sent.sequences)),
        notes: format!("{} in flight at most", stage.sink.lane(0).peak_waiting()),
        ..Row::new("memory")
    }])
}
