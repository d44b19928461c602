//! What `reprise-api serve` can be told, by flags and by variables.

use std::net::SocketAddr;

use clap::Args;
use ipnet::IpNet;
use reprise_core::address::AddressGuard;
use reprise_core::endpoint_url::UrlRules;
use reprise_core::sealing::KeyRing;
use reprise_core::secret::SecretText;
use reprise_core::settings::{
    Problems, parse_bool, parse_database_url, parse_networks, parse_number, read_key_ring,
};

/// Where the database is; every command but `openapi` needs it.
#[derive(Args)]
pub struct DatabaseArgs {
    /// PostgreSQL, as `postgres://user:password@host:5432/database`; several hosts may be given for a failover.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    database_url: Option<String>,
}

impl DatabaseArgs {
    /// The URL, if that and what was read before is right.
    ///
    /// # Errors
    ///
    /// [`Problems`] when it is missing or malformed.
    pub fn read(&self, mut problems: Problems) -> Result<SecretText, Problems> {
        let url = self.read_into(&mut problems);
        problems.finish()?;
        url.ok_or_else(Problems::default)
    }

    fn read_into(&self, problems: &mut Problems) -> Option<SecretText> {
        problems.read_required(
            "DATABASE_URL",
            self.database_url.as_deref(),
            parse_database_url,
        )
    }
}

/// The master keys, for `serve` and `reseal`.
#[derive(Args)]
pub struct KeyArgs {
    /// Master key: 32 bytes in base64 (make one with `openssl rand -base64 32`). Signs tokens, encrypts secrets.
    #[arg(long, env = "REPRISE_SECRET_KEY", hide_env_values = true)]
    secret_key: Option<String>,
    /// Earlier master keys, still accepted, separated by commas.
    #[arg(
        long,
        env = "REPRISE_SECRET_KEY_PREVIOUS",
        hide_env_values = true,
        default_value = ""
    )]
    secret_key_previous: String,
}

impl KeyArgs {
    /// The keys and the database's URL, if these and what was read before are right.
    ///
    /// # Errors
    ///
    /// [`Problems`] with every mistake there is.
    pub fn read(
        &self,
        database: &DatabaseArgs,
        mut problems: Problems,
    ) -> Result<(SecretText, KeyRing), Problems> {
        let url = database.read_into(&mut problems);
        let keys = self.read_into(&mut problems);
        problems.finish()?;
        url.zip(keys).ok_or_else(Problems::default)
    }

    fn read_into(&self, problems: &mut Problems) -> Option<KeyRing> {
        read_key_ring(
            problems,
            self.secret_key.as_deref(),
            &self.secret_key_previous,
        )
    }
}

/// Flags of `serve`. They are texts here, so that every mistake can be reported at once.
#[derive(Args)]
pub struct ServeArgs {
    /// Address and port to serve HTTP on; port 0 picks a free one.
    #[arg(long, env = "REPRISE_LISTEN", default_value = "127.0.0.1:8080")]
    listen: String,
    /// The master keys.
    #[command(flatten)]
    keys: KeyArgs,
    /// Networks (CIDRs, separated by commas) that receivers may live in although the address guard refuses them.
    #[arg(long, env = "REPRISE_ALLOW_NETWORKS", default_value = "")]
    allow_networks: String,
    /// Whether endpoints may have http:// URLs.
    #[arg(long, env = "REPRISE_ALLOW_HTTP", default_value = "false")]
    allow_http: String,
    /// Requests a second that one API key, or one user's tokens, may make, in each replica; 0 for any number.
    #[arg(long, env = "REPRISE_RATE_LIMIT_PER_KEY", default_value = "0")]
    rate_limit_per_key: String,
    /// Wrong passwords a minute that one address may try at one account; ten times as many at all accounts, and from
    /// all addresses. 0 for any number.
    #[arg(long, env = "REPRISE_LOGIN_FAILURES_PER_MINUTE", default_value = "10")]
    login_failures_per_minute: String,
    /// Networks (CIDRs, separated by commas) of the proxies whose `X-Forwarded-For` tells where logins come from, and
    /// whose connections are not counted.
    #[arg(long, env = "REPRISE_TRUSTED_PROXIES", default_value = "")]
    trusted_proxies: String,
    /// Connections of one client address at most (of IPv6, of one /64); more are closed at once. 0 for any number.
    #[arg(
        long,
        env = "REPRISE_MAX_CONNECTIONS_PER_ADDRESS",
        default_value = "256"
    )]
    max_connections_per_address: String,
    /// Connections to PostgreSQL at most.
    #[arg(long, env = "REPRISE_DATABASE_CONNECTIONS", default_value = "16")]
    database_connections: String,
}

/// What `serve` runs with.
#[derive(Debug)]
pub struct ServeConfig {
    /// PostgreSQL.
    pub database_url: SecretText,
    /// Connections to it at most.
    pub database_connections: u32,
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// The master keys.
    pub keys: KeyRing,
    /// Which URLs endpoints may have.
    pub url_rules: UrlRules,
    /// Requests a second of one credential; 0 for any number.
    pub rate_limit_per_key: u32,
    /// Failed logins a minute of one address at one account; 0 for any number.
    pub login_failures_per_minute: u32,
    /// Whose `X-Forwarded-For` is believed, and whose connections are not counted.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections of one client address; 0 for any number.
    pub max_connections_per_address: u32,
}

impl ServeArgs {
    /// Reads all settings, after `problems` were found in others.
    ///
    /// # Errors
    ///
    /// [`Problems`] with every mistake there is.
    pub fn read(
        &self,
        database: &DatabaseArgs,
        mut problems: Problems,
    ) -> Result<ServeConfig, Problems> {
        let database_url = database.read_into(&mut problems);
        let keys = self.keys.read_into(&mut problems);
        let listen = problems.read("REPRISE_LISTEN", &self.listen, str::parse::<SocketAddr>);
        let networks = problems.read(
            "REPRISE_ALLOW_NETWORKS",
            &self.allow_networks,
            parse_networks,
        );
        let allow_http = problems.read("REPRISE_ALLOW_HTTP", &self.allow_http, parse_bool);
        let database_connections = problems.read(
            "REPRISE_DATABASE_CONNECTIONS",
            &self.database_connections,
            |text| parse_number(text, 2..=1_000_u32),
        );
        let rate_limit_per_key = problems.read(
            "REPRISE_RATE_LIMIT_PER_KEY",
            &self.rate_limit_per_key,
            |text| parse_number(text, 0..=1_000_000_u32),
        );
        let login_failures_per_minute = problems.read(
            "REPRISE_LOGIN_FAILURES_PER_MINUTE",
            &self.login_failures_per_minute,
            |text| parse_number(text, 0..=1_000_000_u32),
        );
        let trusted_proxies = problems.read(
            "REPRISE_TRUSTED_PROXIES",
            &self.trusted_proxies,
            parse_networks,
        );
        let max_connections_per_address = problems.read(
            "REPRISE_MAX_CONNECTIONS_PER_ADDRESS",
            &self.max_connections_per_address,
            |text| parse_number(text, 0..=1_000_000_u32),
        );
        problems.finish()?;
        let config = (|| {
            Some(ServeConfig {
                database_url: database_url?,
                database_connections: database_connections?,
                listen: listen?,
                keys: keys?,
                url_rules: UrlRules {
                    guard: AddressGuard::new(networks?),
                    allow_http: allow_http?,
                },
                rate_limit_per_key: rate_limit_per_key?,
                login_failures_per_minute: login_failures_per_minute?,
                trusted_proxies: trusted_proxies?,
                max_connections_per_address: max_connections_per_address?,
            })
        })();
        config.ok_or_else(Problems::default)
    }
}

/// `REPRISE_PASSWORD`. Not a flag, so that no password stands in a process list.
#[expect(clippy::disallowed_methods, reason = "this is config.rs")]
pub fn password_from_environment() -> Option<String> {
    std::env::var("REPRISE_PASSWORD").ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    const KEY: &str = "dGVzdC1vbmx5LXNlY3JldC1rZXktb2YtMzItYnl0ZXM=";

    #[test]
    fn defaults_are_the_contracts() {
        let flags = [
            "reprise-api",
            "--database-url=postgres://localhost/x",
            "--secret-key",
            KEY,
        ];
        let cli = Cli::try_parse_from(flags).expect("the flags are known");
        let config = cli.serve.read(&cli.database, Problems::default());
        let config = config.expect("all that is required is there");
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert!(!config.url_rules.allow_http);
        for private in ["127.0.0.1", "10.0.0.1", "::1"] {
            let address = private.parse().expect("an address");
            assert!(!config.url_rules.guard.permits(address), "{private}");
        }
        assert_eq!(config.rate_limit_per_key, 0);
        assert_eq!(config.login_failures_per_minute, 10);
        assert_eq!(config.database_connections, 16);
        assert_eq!(config.trusted_proxies, []);
        assert_eq!(config.max_connections_per_address, 256);
    }
}
