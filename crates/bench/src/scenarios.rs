//! What is measured: one file per scenario.

mod arrival;
mod deliver;
mod drain;
mod memory;
mod publish;
mod slow;
mod steady;

use anyhow::Result;

use crate::{
    lists,
    report::Row,
    server,
    settings::{Scenario, Settings},
};

/// Runs a scenario.
pub async fn run(scenario: Scenario, settings: &Settings) -> Result<Vec<Row>> {
    match scenario {
        Scenario::Configure => server::configure().await.map(|()| Vec::new()),
        Scenario::Publish => publish::run(settings).await,
        Scenario::Deliver => deliver::run(settings).await,
        Scenario::Drain => drain::run(settings).await,
        Scenario::Steady => steady::run(settings).await,
        Scenario::Slow => slow::run(settings).await,
        Scenario::Memory => memory::run(settings).await,
        Scenario::Lists => lists::run(settings.rows).await.map(|()| Vec::new()),
    }
}
