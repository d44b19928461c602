//! Log lines, on standard error.

use anyhow::{Result, anyhow};
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Installs the one subscriber of the process.
///
/// # Errors
///
/// There is one already.
pub(crate) fn start(config: &LogConfig) -> Result<()> {
    let filter: EnvFilter = config.filter.to_string().parse()?;
    let lines = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter);
    match config.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().try_init(),
    }
    .map_err(|error| anyhow!("starting to log: {error}"))
}
