//! How the program logs: to the standard error, so that the standard output is for answers alone.

use reprise_core::log_lines::may_be_logged;
use reprise_core::settings::Problems;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use crate::cli::LogArgs;

/// How to log, read from the arguments.
pub struct Logging {
    filter: EnvFilter,
    format: Format,
}

enum Format {
    Text,
    Json,
}

/// Reads the arguments; mistakes are noted.
pub fn read(args: &LogArgs, problems: &mut Problems) -> Option<Logging> {
    let filter = problems.read("REPRISE_LOG", &args.log, |text| EnvFilter::try_new(text));
    let format = problems.read("REPRISE_LOG_FORMAT", &args.log_format, |text| match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err("must be 'text' or 'json'"),
    });
    Some(Logging {
        filter: filter?,
        format: format?,
    })
}

impl Logging {
    /// Logs from now on, in the whole process.
    pub fn start(self) {
        let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
        let filtered = tracing_subscriber::registry()
            .with(self.filter)
            .with(filter_fn(may_be_logged));
        match self.format {
            Format::Text => filtered.with(lines).init(),
            Format::Json => filtered.with(lines.json()).init(),
        }
    }
}
