//! What is measured: one file per scenario.

mod backlog;
mod churn;
mod deliver;
mod delivery;
mod drain;
mod kill;
mod load_latency;
mod memory;
mod publish;
mod replicas;
mod slow;
mod steady;

use anyhow::Result;

use crate::{
    findings::Findings,
    lists, server,
    settings::{Scenario, Settings},
};

/// Runs a scenario.
pub async fn run(scenario: Scenario, settings: &Settings) -> Result<Findings> {
    Ok(match scenario {
        Scenario::Configure => server::configure().await?.into(),
        Scenario::Publish => publish::run(settings).await?.into(),
        Scenario::Batch => publish::run_batches(settings).await?.into(),
        Scenario::Deliver => deliver::run(settings).await?.into(),
        Scenario::Drain => drain::run(settings).await?.into(),
        Scenario::Fanout => deliver::run_fanout(settings).await?.into(),
        Scenario::Steady => steady::run(settings).await?.into(),
        Scenario::Slow => slow::run(settings).await?.into(),
        Scenario::Kill => kill::run(settings).await?.into(),
        Scenario::Memory => memory::run(settings).await?.into(),
        Scenario::Replicas => replicas::run(settings).await?,
        Scenario::ApiReplicas => publish::run_replicas(settings).await?,
        Scenario::Tenants => publish::run_tenants(settings).await?.into(),
        Scenario::LoadLatency => load_latency::run(settings).await?,
        Scenario::Backlog => backlog::run(settings).await?.into(),
        Scenario::Churn => churn::run(settings).await?,
        Scenario::Lists => lists::run(settings.rows, settings.plans.as_deref())
            .await?
            .into(),
    })
}
