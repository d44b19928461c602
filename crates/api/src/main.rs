//! `reprise-api`: the HTTP API, and the commands that prepare a database.

mod accounts;
mod api_keys;
mod attempt_waiters;
mod auth;
mod body;
mod cli;
mod client_address;
mod config;
mod deliveries;
mod docs;
mod endpoints;
mod error;
mod events;
mod faults;
mod health;
mod hooks;
mod http_server;
mod idempotency;
mod ingest;
mod instrumentation;
mod logging;
mod metrics;
mod openapi;
mod pagination;
mod path_id;
mod prefer;
mod rate_limit;
mod replays;
mod resealing;
mod routes;
mod server;
mod shown_secret;
mod state;
mod subscriptions;
mod timestamp;
mod wake_up;

use std::io::Write;
use std::process::ExitCode;

use mimalloc::MiMalloc;
use reprise_core::sealing::KeyRing;
use reprise_core::secret::SecretText;
use reprise_core::settings::Problems;

use crate::cli::{ApiKeyCommand, Cli, Command, TenantCommand, UserCommand};
use crate::config::ServeConfig;

/// Both programs make and drop many small things on many threads, which the C library's allocator is slow at: a sixth
/// of the dispatcher's time when measured.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match run(Cli::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The reader may have closed the pipe; there is nobody else to tell then.
            let _ = writeln!(std::io::stderr(), "reprise-api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let mut problems = Problems::default();
    let logging = logging::read(&cli.log, &mut problems);
    let task = Task::read(cli, problems)?;
    if let Some(logging) = logging {
        logging.start();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(task.run())
}

/// What is to be done, with settings that are right.
enum Task {
    Serve(Box<ServeConfig>),
    Migrate(SecretText),
    Tenant(SecretText, TenantCommand),
    User(SecretText, UserCommand),
    ApiKey(SecretText, ApiKeyCommand),
    Reseal(SecretText, KeyRing),
    Openapi,
}

impl Task {
    fn read(cli: Cli, problems: Problems) -> Result<Self, Problems> {
        let database = &cli.database;
        Ok(match cli.command {
            None => Self::Serve(Box::new(cli.serve.read(database, problems)?)),
            Some(Command::Serve(serve)) => Self::Serve(Box::new(serve.read(database, problems)?)),
            Some(Command::Migrate) => Self::Migrate(database.read(problems)?),
            Some(Command::Tenant(command)) => Self::Tenant(database.read(problems)?, command),
            Some(Command::User(command)) => Self::User(database.read(problems)?, command),
            Some(Command::ApiKey(command)) => Self::ApiKey(database.read(problems)?, command),
            Some(Command::Reseal(keys)) => {
                let (url, keys) = keys.read(database, problems)?;
                Self::Reseal(url, keys)
            }
            Some(Command::Openapi) => {
                problems.finish()?;
                Self::Openapi
            }
        })
    }

    async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Serve(config) => server::serve(*config).await,
            Self::Migrate(url) => Ok(reprise_core::store::migrate(url.expose()).await?),
            Self::Tenant(url, command) => {
                print(&accounts::run_tenant(&url, command).await?.to_string())
            }
            Self::User(url, command) => {
                print(&accounts::run_user(&url, command).await?.to_string())
            }
            Self::ApiKey(url, command) => {
                print(&accounts::run_api_key(&url, command).await?.to_string())
            }
            Self::Reseal(url, keys) => print(&resealing::run(&url, &keys).await?.to_string()),
            Self::Openapi => print(&serde_json::to_string_pretty(&openapi::document()?)?),
        }
    }
}

/// Prints an answer. A reader that has closed the pipe has read enough.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        printed => Ok(printed?),
    }
}
