//! Benchmarks, run by `make bench`. Each starts the real programs on a PostgreSQL of its own and prints a table.
//!
//! Nothing here fails because of a time: machines are shared and noisy. Every figure stands beside a bare one of the same
//! run.

mod lists;

use clap::{Parser, Subcommand};

/// Benchmarks of Reprise.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

/// What is measured.
#[derive(Subcommand)]
enum Scenario {
    /// Lists over a long history: every filter, the first page and a late one.
    Lists {
        /// Deliveries in the table.
        #[arg(long, default_value_t = 10_000_000)]
        rows: u32,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().scenario {
        Scenario::Lists { rows } => lists::run(rows).await,
    }
}
