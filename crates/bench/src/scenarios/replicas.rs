//! Several dispatchers on one queue: their rate together, and each one's share.

use std::time::Duration;

use anyhow::Result;

use super::{delivery::Delivered, drain};
use crate::{
    figures::{float, rate},
    findings::Findings,
    report::{Cost, Row},
    settings::Settings,
    sink::Verdict,
    stage::attempts_by_dispatcher,
};

/// How many at a time.
const REPLICAS: [usize; 4] = [1, 2, 4, 8];

/// Drains the same backlog with more and more dispatchers.
pub async fn run(settings: &Settings) -> Result<Findings> {
    let mut findings = Findings::default();
    for dispatchers in REPLICAS {
        let mut stage = drain::start(settings, dispatchers).await?;
        let row = drain::drain(&mut stage, settings, &format!("replicas: {dispatchers}")).await?;
        let attempts = attempts_by_dispatcher(stage.conn()).await?;
        findings
            .replicas
            .extend(row.rate.map(|rate| (dispatchers, rate)));
        findings.rows.push(Row {
            notes: format!("shares {}", shares(&attempts)),
            ..row
        });
    }
    findings.rows.push(apart(settings, 8).await?);
    Ok(findings)
}

/// As many dispatchers that share nothing but the machine and PostgreSQL: each has a database, an API and a sink of its
/// own, and an equal part of the backlog. What they lose against one is what so many processes cost; what those that
/// share a queue lose besides is what sharing costs.
async fn apart(settings: &Settings, dispatchers: u64) -> Result<Row> {
    let mut stages = Vec::new();
    for _ in 0..dispatchers {
        let mut stage = drain::start(settings, 1).await?;
        let sent = drain::fill(&mut stage, settings.backlog() / dispatchers).await?;
        stages.push((stage, sent));
    }
    let bare_rate = stages[0].0.bare_rate().await?;
    let mut meters = Vec::new();
    for (stage, _) in &mut stages {
        meters.push(stage.meter().await?);
    }
    let mut began_ns = Vec::new();
    for (stage, _) in &stages {
        began_ns.push(stage.clock.now_ns());
        stage.thaw_dispatchers();
    }
    for (stage, sent) in &mut stages {
        stage.wait_for_all(&sent.sequences).await?;
    }
    let mut cost = Cost::default();
    let mut verdict = Verdict::default();
    let mut took = Duration::ZERO;
    for (((stage, sent), meter), began_ns) in stages.iter_mut().zip(meters).zip(began_ns) {
        let delivered = Delivered::to_all(stage, &sent.sequences);
        took = took.max(delivered.since(began_ns));
        cost.count += delivered.latencies.len();
        cost.usage.add_programs(&stage.used_since(meter).await?);
        verdict.lost += delivered.verdict.lost;
        verdict.doubled += delivered.verdict.doubled;
    }
    Ok(Row {
        bare_rate: Some(bare_rate),
        rate: Some(rate(cost.count, took)),
        cost: Some(cost),
        verdict: Some(verdict),
        ..Row::new(format!("replicas: {dispatchers}, a queue each"))
    })
}

/// Each one's part of all, in percent, the largest first.
fn shares(attempts: &[i64]) -> String {
    let all = float(attempts.iter().sum::<i64>()).max(1.0);
    let shares = attempts.iter();
    let shares: Vec<String> = shares
        .map(|one| format!("{:.0} %", 100.0 * float(*one) / all))
        .collect();
    shares.join(", ")
}
