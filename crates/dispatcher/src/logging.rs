//! Log lines, on standard error.

use anyhow::{Result, anyhow};
use reprise_core::log_lines::may_be_logged;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{LogConfig, LogFormat};

/// Installs the one subscriber of the process.
///
/// # Errors
///
/// There is one already.
pub(crate) fn start(config: &LogConfig) -> Result<()> {
    let filter: EnvFilter = config.filter.to_string().parse()?;
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let filtered = tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(may_be_logged));
    match config.format {
        LogFormat::Text => filtered.with(lines).try_init(),
        LogFormat::Json => filtered.with(lines.json()).try_init(),
    }
    .map_err(|error| anyhow!("starting to log: {error}"))
}
