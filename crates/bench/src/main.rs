//! Benchmarks, run by `make bench`. Each starts the real programs on a durable PostgreSQL, and all print into one
//! table.
//!
//! Nothing here fails because of a time: machines are shared and noisy. Every figure stands beside a bare one of the
//! same run. What does fail is a delivery that was lost, or sent twice without a reason.

mod charts;
mod claim_probe;
mod clock;
mod figures;
mod findings;
mod http1;
mod lists;
mod load;
mod machine;
mod plot;
mod report;
mod resources;
mod scenarios;
mod server;
mod settings;
mod sink;
mod stage;
mod stamp;

use std::fs;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::{findings::Findings, machine::Machine, report::Row, settings::Settings};

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::parse();
    let mut findings = Findings::default();
    for scenario in settings.wanted() {
        let name = scenario.name();
        eprintln!("bench: {name}");
        let measured = scenarios::run(scenario, &settings).await;
        findings.add(measured.with_context(|| format!("scenario {name}"))?);
    }
    if !findings.rows.is_empty() {
        publish(&settings, &findings).await?;
    }
    let wrong: Vec<&str> = findings.rows.iter().filter_map(Row::fault).collect();
    ensure!(wrong.is_empty(), "lost or doubled deliveries in {wrong:?}");
    Ok(())
}

/// Prints the table, and writes it where the settings say.
#[expect(
    clippy::print_stdout,
    reason = "to print its figures is what a benchmark is for"
)]
async fn publish(settings: &Settings, findings: &Findings) -> Result<()> {
    let machine = Machine::look_at(&mut server::connect().await?).await?;
    let table = report::markdown(&machine, findings);
    println!("{table}");
    if let Some(path) = &settings.output {
        fs::write(path, &table).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(folder) = &settings.charts {
        charts::write(findings, folder)?;
    }
    Ok(())
}
