//! Several dispatchers on one queue: their rate together, and each one's share.

use anyhow::Result;

use super::drain;
use crate::{
    figures::float, findings::Findings, report::Row, settings::Settings,
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
    Ok(findings)
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
