//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Starts Reprise with a demo tenant and a demo receiver, delivers one event and shows what to try.
#[derive(Parser)]
pub(crate) struct Arguments {
    /// The PostgreSQL database to use; it is migrated first
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: String,

    /// The folder for logs and for the demo's tenant and keys
    #[arg(long, default_value = ".dev")]
    pub(crate) state_dir: PathBuf,

    /// Deliver, replay and redeliver one event, then stop; the exit code says whether it worked
    #[arg(long)]
    pub(crate) once: bool,
}
