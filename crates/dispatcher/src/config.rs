//! The configuration: every variable, its default, and what it becomes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use reprise_core::address::AddressGuard;
use reprise_core::circuit::CircuitRules;
use reprise_core::sealing::KeyRing;
use reprise_core::secret::SecretText;
use reprise_core::settings::{
    Problems, parse_bool, parse_database_url, parse_networks, parse_number, read_key_ring,
};
use tracing_subscriber::EnvFilter;

/// Flags and variables as they were given. Values are read by [`Config::read`], so that all mistakes are reported at
/// once.
#[derive(Parser)]
#[command(name = "reprise-dispatcher", version)]
#[command(about = "Claims due deliveries from PostgreSQL, sends them, and drains on SIGTERM")]
pub(crate) struct Arguments {
    /// URL of PostgreSQL: `postgres://user:password@host:5432/database`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Master key that endpoint secrets are encrypted with: 32 bytes in base64 (openssl rand -base64 32)
    #[arg(long, env = "REPRISE_SECRET_KEY", hide_env_values = true)]
    secret_key: Option<String>,
    /// Earlier master keys that still decrypt, separated by commas
    #[arg(long, env = "REPRISE_SECRET_KEY_PREVIOUS", hide_env_values = true)]
    #[arg(default_value = "", hide_default_value = true)]
    secret_key_previous: String,
    /// Address and port of /healthz, /readyz and /metrics; port 0 takes a free one
    #[arg(long, env = "REPRISE_ADMIN_LISTEN", default_value = "127.0.0.1:9090")]
    admin_listen: String,
    /// Networks that receivers may live in although they are not public, separated by commas
    #[arg(long, env = "REPRISE_ALLOW_NETWORKS", default_value = "")]
    allow_networks: String,
    /// Whether http:// URLs are sent to
    #[arg(long, env = "REPRISE_ALLOW_HTTP", default_value = "false")]
    allow_http: String,
    /// Deliveries in flight at most, all endpoints together
    #[arg(long, env = "REPRISE_MAX_IN_FLIGHT", default_value = "512")]
    max_in_flight: String,
    /// Deliveries in flight at most for one tenant
    #[arg(long, env = "REPRISE_MAX_IN_FLIGHT_PER_TENANT", default_value = "256")]
    max_in_flight_per_tenant: String,
    /// Deliveries in flight at most for one endpoint
    #[arg(long, env = "REPRISE_MAX_IN_FLIGHT_PER_ENDPOINT", default_value = "32")]
    max_in_flight_per_endpoint: String,
    /// Failures in a row, within some time, at which a receiver counts as dead and its circuit opens; 0: never
    #[arg(long, env = "REPRISE_CIRCUIT_FAILURES", default_value = "100")]
    circuit_failures: String,
    /// How long a receiver has been failing, without a success, before its circuit opens
    #[arg(long, env = "REPRISE_CIRCUIT_FAILING_FOR", default_value = "60s")]
    circuit_failing_for: String,
    /// How long a circuit is open before one delivery is tried; it doubles each time that this fails
    #[arg(long, env = "REPRISE_CIRCUIT_PAUSE", default_value = "30s")]
    circuit_pause: String,
    /// How long a circuit is open at most
    #[arg(long, env = "REPRISE_CIRCUIT_MAX_PAUSE", default_value = "5m")]
    circuit_max_pause: String,
    /// Days that events, deliveries and attempts are kept
    #[arg(long, env = "REPRISE_RETENTION_DAYS", default_value = "90")]
    retention_days: String,
    /// How long a stop waits for deliveries in flight
    #[arg(long, env = "REPRISE_DRAIN_TIMEOUT", default_value = "60s")]
    drain_timeout: String,
    /// How often the queue is looked at when no notification comes
    #[arg(long, env = "REPRISE_POLL_INTERVAL", default_value = "1s")]
    poll_interval: String,
    /// Connections to PostgreSQL at most, the one for notifications not counted
    #[arg(long, env = "REPRISE_DATABASE_CONNECTIONS", default_value = "8")]
    database_connections: String,
    /// File with certificates (PEM) of authorities to trust besides the system's
    #[arg(long, env = "REPRISE_CA_FILE", default_value = "")]
    ca_file: String,
    /// What is logged, such as `info` or `warn,reprise_dispatcher=debug`
    #[arg(long, env = "REPRISE_LOG", default_value = "info")]
    log: String,
    /// How it is logged: `text` or `json`
    #[arg(long, env = "REPRISE_LOG_FORMAT", default_value = "text")]
    log_format: String,
}

/// The configuration, read and checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) database_url: SecretText,
    pub(crate) database_connections: u32,
    pub(crate) keys: KeyRing,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) outbound: OutboundConfig,
    pub(crate) limits: Limits,
    pub(crate) circuits: CircuitRules,
    pub(crate) retention: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) poll_interval: Duration,
    pub(crate) log: LogConfig,
}

/// What may be sent to, and whom to trust.
#[derive(Debug)]
pub(crate) struct OutboundConfig {
    pub(crate) guard: AddressGuard,
    pub(crate) allow_http: bool,
    pub(crate) ca_file: Option<PathBuf>,
}

/// Deliveries in flight at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) in_flight: u16,
    pub(crate) per_tenant: u16,
    pub(crate) per_endpoint: u16,
}

/// What is logged and how.
#[derive(Debug)]
pub(crate) struct LogConfig {
    pub(crate) filter: EnvFilter,
    pub(crate) format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// Reads what was given.
    ///
    /// # Errors
    ///
    /// Every mistake in it.
    pub(crate) fn read(given: &Arguments) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let config = Self::read_into(&mut problems, given);
        problems.finish()?;
        Ok(config.expect("a value is missing only where a problem was noted, and there was none"))
    }

    fn read_into(problems: &mut Problems, given: &Arguments) -> Option<Self> {
        let database_url = given.database_url.as_deref();
        let database_url = problems.read_required("DATABASE_URL", database_url, parse_database_url);
        let keys = read_key_ring(
            problems,
            given.secret_key.as_deref(),
            &given.secret_key_previous,
        );
        let admin_listen = problems.read(
            "REPRISE_ADMIN_LISTEN",
            &given.admin_listen,
            str::parse::<SocketAddr>,
        );
        // Fewer than four connections, and the heartbeat could wait behind slow maintenance.
        let database_connections = problems.read(
            "REPRISE_DATABASE_CONNECTIONS",
            &given.database_connections,
            |text| parse_number(text, 4..=100_u32),
        );
        let retention = problems.read("REPRISE_RETENTION_DAYS", &given.retention_days, |text| {
            parse_number(text, 1..=36_500_u32).map(days)
        });
        let outbound = OutboundConfig::read(problems, given);
        let limits = Limits::read(problems, given);
        let circuits = read_circuit_rules(problems, given);
        let drain_timeout = duration(problems, "REPRISE_DRAIN_TIMEOUT", &given.drain_timeout);
        let poll_interval = duration(problems, "REPRISE_POLL_INTERVAL", &given.poll_interval);
        let log = LogConfig::read(problems, given);
        Some(Self {
            database_url: database_url?,
            database_connections: database_connections?,
            keys: keys?,
            admin_listen: admin_listen?,
            outbound: outbound?,
            limits: limits?,
            circuits: circuits?,
            retention: retention?,
            drain_timeout: drain_timeout?,
            poll_interval: poll_interval?,
            log: log?,
        })
    }
}

impl OutboundConfig {
    fn read(problems: &mut Problems, given: &Arguments) -> Option<Self> {
        let networks = problems.read(
            "REPRISE_ALLOW_NETWORKS",
            &given.allow_networks,
            parse_networks,
        );
        let allow_http = problems.read("REPRISE_ALLOW_HTTP", &given.allow_http, parse_bool);
        let ca_file = given.ca_file.trim();
        Some(Self {
            guard: AddressGuard::new(networks?),
            allow_http: allow_http?,
            ca_file: (!ca_file.is_empty()).then(|| PathBuf::from(ca_file)),
        })
    }
}

impl Limits {
    fn read(problems: &mut Problems, given: &Arguments) -> Option<Self> {
        let mut read = |variable, text: &str| {
            problems.read(variable, text, |text| parse_number(text, 1..=u16::MAX))
        };
        let in_flight = read("REPRISE_MAX_IN_FLIGHT", &given.max_in_flight);
        let per_tenant = read(
            "REPRISE_MAX_IN_FLIGHT_PER_TENANT",
            &given.max_in_flight_per_tenant,
        );
        let per_endpoint = read(
            "REPRISE_MAX_IN_FLIGHT_PER_ENDPOINT",
            &given.max_in_flight_per_endpoint,
        );
        Some(Self {
            in_flight: in_flight?,
            per_tenant: per_tenant?,
            per_endpoint: per_endpoint?,
        })
    }
}

impl LogConfig {
    fn read(problems: &mut Problems, given: &Arguments) -> Option<Self> {
        let filter = problems.read("REPRISE_LOG", &given.log, |text| EnvFilter::try_new(text));
        let format = problems.read("REPRISE_LOG_FORMAT", &given.log_format, |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("must be 'text' or 'json'"),
        });
        Some(Self {
            filter: filter?,
            format: format?,
        })
    }
}

fn read_circuit_rules(problems: &mut Problems, given: &Arguments) -> Option<CircuitRules> {
    let failures = problems.read(
        "REPRISE_CIRCUIT_FAILURES",
        &given.circuit_failures,
        |text| parse_number(text, 0..=1_000_000_u32),
    );
    let mut read = |variable, text: &str| duration(problems, variable, text);
    let failing_for = read("REPRISE_CIRCUIT_FAILING_FOR", &given.circuit_failing_for);
    let first_pause = read("REPRISE_CIRCUIT_PAUSE", &given.circuit_pause);
    let max_pause = read("REPRISE_CIRCUIT_MAX_PAUSE", &given.circuit_max_pause);
    Some(CircuitRules {
        failures: failures?,
        failing_for: failing_for?,
        first_pause: first_pause?,
        max_pause: max_pause?,
    })
}

fn days(count: u32) -> Duration {
    Duration::from_hours(u64::from(count) * 24)
}

fn duration(problems: &mut Problems, variable: &'static str, text: &str) -> Option<Duration> {
    problems.read(variable, text, |text| {
        humantime::parse_duration(text)
            .ok()
            .filter(|duration| !duration.is_zero())
            .ok_or("must be a duration above zero, such as 500ms, 30s or 2m")
    })
}

#[cfg(test)]
mod tests;
