//! How the program logs: to the standard error, so that the standard output is for answers alone.

use reprise_core::settings::Problems;
use tracing_subscriber::EnvFilter;

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
        let builder = tracing_subscriber::fmt()
            .with_env_filter(self.filter)
            .with_writer(std::io::stderr)
            .with_ansi(false);
        match self.format {
            Format::Text => builder.init(),
            Format::Json => builder.json().init(),
        }
    }
}
