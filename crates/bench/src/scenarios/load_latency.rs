//! Latency under shares of the rate at which this machine is saturated.

use anyhow::{Context, Result};

use super::{deliver::saturate, drain, steady::measure};
use crate::{
    figures::whole_rate,
    findings::{Findings, LatencyAtRate},
    report::Row,
    settings::Settings,
    stage::Stage,
};

/// Percent of the saturated rate. Steps that are near to each other near the end, where the queue begins.
const SHARES: [u32; 9] = [10, 20, 30, 40, 50, 60, 70, 80, 90];

/// Measures the saturated rate, then the latency at shares of it.
pub async fn run(settings: &Settings) -> Result<Findings> {
    let mut stage = drain::start(settings, settings.dispatchers).await?;
    let bare_rate = stage.bare_rate().await?;
    stage.warm_up().await?;
    let saturated = saturated_rate(&mut stage, settings).await?;
    let mut findings = Findings::default();
    for share in SHARES {
        let rate = (saturated * share / 100).max(1);
        let name = format!("load: {share} %");
        let row = measure(&mut stage, rate, settings.duration(), &name).await?;
        findings
            .latencies
            .extend(row.latency.map(|times| LatencyAtRate {
                rate: f64::from(rate),
                p50: times.p50,
                p99: times.p99,
            }));
        findings.rows.push(Row {
            bare_rate: Some(bare_rate),
            notes: format!("of {saturated}/s"),
            ..row
        });
    }
    Ok(findings)
}

/// What can be published and delivered, both as fast as they go: the slower of the two.
pub async fn saturated_rate(stage: &mut Stage, settings: &Settings) -> Result<u32> {
    let row = saturate(stage, settings.duration(), "saturated").await?;
    let rate = row.rate.context("a saturated rate")?;
    Ok(whole_rate(rate.min(row.publish_rate.unwrap_or(rate))))
}
