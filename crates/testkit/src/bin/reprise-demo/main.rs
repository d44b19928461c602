//! What `make run` starts: the API, a dispatcher and a receiver, with something to see and to try.

mod api;
mod arguments;
mod keepsake;
mod ports;
mod programs;
mod receiver;
mod screen;
mod tenant;
mod tour;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use self::{
    arguments::Arguments, keepsake::Keepsake, ports::Ports, programs::Programs, tour::Tour,
};

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen::failure(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let keepsake = Keepsake::open(&arguments.state_dir)?;
    screen::title("Reprise demo");
    programs::migrate(&arguments.database_url).await?;

    let ports = Ports::choose()?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // From here on the programs run: every way out leads past `stop`.
    let mut programs = Programs::start(arguments, ports, &keepsake.secret_key)?;
    let outcome = tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        error = programs.death() => Err(error),
        outcome = Tour::new(arguments, ports, keepsake).run() => {
            outcome.map_err(|error| programs.with_last_lines(&error))
        }
    };
    let stopped = programs.stop().await;
    screen::fact("Stopped", "the API and the dispatcher have ended");
    outcome.and(stopped)
}
