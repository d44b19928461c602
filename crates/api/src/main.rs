//! `reprise-api`: the HTTP API, and the commands that prepare a database.

mod accounts;
mod attempt_waiters;
mod auth;
mod body;
mod cli;
mod config;
mod deliveries;
mod endpoints;
mod error;
mod events;
mod faults;
mod health;
mod hooks;
mod idempotency;
mod instrumentation;
mod metrics;
mod openapi;
mod pagination;
mod path_id;
mod prefer;
mod replays;
mod routes;
mod server;
mod state;
mod subscriptions;
mod timestamp;
mod wake_up;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command, LogArgs, LogFormat};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The reader may have closed the pipe; there is nobody else to tell then.
            let _ = writeln!(std::io::stderr(), "reprise-api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    start_logging(&cli.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let database = &cli.database;
    match cli.command {
        None => runtime.block_on(server::serve(cli.serve.read(database)?)),
        Some(Command::Serve(serve)) => runtime.block_on(server::serve(serve.read(database)?)),
        Some(Command::Migrate) => {
            let url = database.read()?;
            Ok(runtime.block_on(reprise_core::store::migrate(url.expose()))?)
        }
        Some(Command::Tenant(command)) => print(
            &runtime
                .block_on(accounts::run_tenant(&database.read()?, command))?
                .to_string(),
        ),
        Some(Command::User(command)) => print(
            &runtime
                .block_on(accounts::run_user(&database.read()?, command))?
                .to_string(),
        ),
        Some(Command::ApiKey(command)) => print(
            &runtime
                .block_on(accounts::run_api_key(&database.read()?, command))?
                .to_string(),
        ),
        Some(Command::Openapi) => print(&serde_json::to_string_pretty(&openapi::document()?)?),
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// Logs to the standard error, so that the standard output is for answers alone.
fn start_logging(args: &LogArgs) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(&args.log).map_err(|error| anyhow::anyhow!("REPRISE_LOG: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    match args.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
