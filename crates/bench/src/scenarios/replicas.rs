//! Several dispatchers on one queue: their rate together, and each one's share.

use anyhow::Result;

use std::time::Duration;

use super::{delivery::Delivered, drain};
use crate::{
    figures::{float, rate},
    findings::Findings,
    report::{Cost, Row},
    resources::Usage,
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
        meters.push((stage.meter().await?, stage.clock.now_ns()));
    }
    for (stage, _) in &stages {
        stage.thaw_dispatchers();
    }
    for (stage, sent) in &mut stages {
        stage.wait_for_all(&sent.sequences).await?;
    }
    let mut used = Usage::default();
    let mut all = Verdict::default();
    let mut took = Duration::ZERO;
    let mut count = 0;
    for ((stage, sent), (meter, began_ns)) in stages.iter_mut().zip(meters) {
        let usage = stage.used_since(meter).await?;
        used = Usage {
            apis: used.apis + usage.apis,
            dispatchers: used.dispatchers + usage.dispatchers,
            ..usage
        };
        let delivered = Delivered::to_all(stage, &sent.sequences);
        took = took.max(delivered.since(began_ns));
        all.lost += delivered.verdict.lost;
        all.doubled += delivered.verdict.doubled;
        count += delivered.latencies.len();
    }
    Ok(Row {
        bare_rate: Some(bare_rate),
        rate: Some(rate(count, took)),
        cost: Some(Cost { usage: used, count }),
        verdict: Some(all),
        ..Row::new(format!(
            "replicas: {dispatchers}, each with a queue of its own"
        ))
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
