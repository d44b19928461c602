//! `reprise-dispatcher`: claims due deliveries from PostgreSQL, signs them, sends them and records what happened.
//!
//! A delivery's way through this program: [`claimer`] (permits, claim) → [`attempt`] (one task: build, sign, send) →
//! [`recorder`] (batches of results) → permit back. [`dispatcher`] owns all tasks.

mod admin;
mod attempt;
mod backoff;
mod circuits;
mod claimer;
mod config;
mod dispatcher;
mod drain;
mod heartbeat;
mod homes;
mod in_flight;
mod limited;
mod logging;
mod maintenance;
mod messages;
mod metrics;
mod outage;
mod outbound;
mod promoter;
mod queue_look;
mod recorder;
mod request;
mod signals;
mod stage;
mod streak;
mod targets;
mod wakeup;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use mimalloc::MiMalloc;

use crate::config::{Arguments, Config};
use crate::dispatcher::Dispatcher;

/// Both programs make and drop many small things on many threads, which the C library's allocator is slow at: a sixth
/// of the dispatcher's time when measured.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "reprise-dispatcher: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Parses, builds, runs.
fn run() -> Result<()> {
    let config = Config::read(&Arguments::parse())?;
    logging::start(&config.log)?;
    reprise_core::descriptors::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let ended = runtime.block_on(async { Dispatcher::start(config).await?.run().await });
    // The lookup of PostgreSQL's name runs on a thread that can't be interrupted; the program does not wait for it.
    runtime.shutdown_background();
    ended
}
