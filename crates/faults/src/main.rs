//! `make soak`: both programs under half load, with a fault every few seconds, for an hour. Afterwards nothing is lost,
//! and memory, open files, connections and the queue's table are where they were.

mod soak;

use std::time::Duration;

use clap::Parser;
use reprise_testkit::seed::seeds;

/// Runs the programs that lie beside it.
#[derive(Parser)]
struct Arguments {
    /// How long faults happen.
    #[arg(long, default_value = "60")]
    minutes: u64,
}

#[tokio::main]
async fn main() {
    let seed = seeds(1)[0];
    let _told = seed.told_on_panic();
    let minutes = Arguments::parse().minutes;
    soak::run(Duration::from_mins(minutes), seed).await;
}
