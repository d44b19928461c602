//! Single connections to PostgreSQL: their time-outs, and TLS where the URL asks for it.

mod hosts;

use std::sync::Arc;
use std::time::Duration;

use diesel::ConnectionError;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::StoreError;

/// How long each host of the URL may take until a connection can be used, unless the URL says it (`connect_timeout`):
/// name lookup, TCP, TLS, authentication and the session's settings.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// When a silent connection is asked for a sign of life, and how long data may stay unacknowledged. Longer, and a
/// cut cable is found late; the operating system's default of two hours would leave a listener deaf that long.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);

/// How PostgreSQL plans our statements: as index lookups, however small the tables are. Each finds a few rows by their
/// keys, and its plan is kept; one made while a table was small would read all of that table for as long as the
/// connection lives. Measured with 20,000 deliveries: 5.5 ms to load 25 messages by a hash join, against 0.2 ms. What these
/// settings leave possible, to read a whole index in its order, is kept from joins by `record_attempts.sql`.
/// Nothing depends on it: behind a pooler that loses it, statements are slower for a while.
const PLANNING: &str = "SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET enable_sort = off;
    SET enable_incremental_sort = off;
    SET jit = off";

/// When PostgreSQL gives up on us: it ends the session of a program that was frozen, cut off or lost its machine in the
/// middle of a transaction, and with it the locks that others wait for. Longer, and an endpoint's deliveries wait;
/// shorter than a pause of a busy machine, and work that was going well is thrown away. By its own defaults it would
/// wait for ever where the kernel still answers, and two hours where nothing does.
const ABANDONMENT: &str = "SET idle_in_transaction_session_timeout = '10s';
    SET tcp_keepalives_idle = 20;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 4;
    SET tcp_user_timeout = '20s'";

/// Connects. With `sslmode=require` in the URL the connection is encrypted, and the server's certificate is verified
/// against the system's authorities (or those of `SSL_CERT_FILE`) for the URL's host name, as libpq's `verify-full`
/// does: encryption without verification keeps nobody out. With any other `sslmode`, or none, it is plain.
///
/// # Errors
///
/// [`StoreError::Unavailable`] when there is no connection to be had.
pub async fn connect(database_url: &str) -> Result<AsyncPgConnection, StoreError> {
    establish(database_url)
        .await
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// [`connect`] with the error that the pool wants: that of the last host.
pub(super) async fn establish(database_url: &str) -> Result<AsyncPgConnection, ConnectionError> {
    let config: Config = database_url.parse().map_err(bad_connection)?;
    let patience = config
        .get_connect_timeout()
        .copied()
        .unwrap_or(CONNECT_TIMEOUT);
    let mut fault = ConnectionError::BadConnection("the URL names no host".to_owned());
    for host in hosts::one_by_one(&config) {
        match timeout(patience, establish_at(host)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => fault = error,
            Err(_) => {
                let seconds = patience.as_secs();
                fault = ConnectionError::BadConnection(format!("no answer within {seconds} s"));
            }
        }
    }
    Err(fault)
}

async fn establish_at(mut host: Config) -> Result<AsyncPgConnection, ConnectionError> {
    host.keepalives_idle(SILENCE_TIMEOUT)
        .keepalives_interval(SILENCE_TIMEOUT / 4)
        .tcp_user_timeout(SILENCE_TIMEOUT);
    if host.get_ssl_mode() == SslMode::Require {
        establish_with(&host, MakeRustlsConnect::new(verifying_tls()?)).await
    } else {
        establish_with(&host, NoTls).await
    }
}

/// Cancels what a connection to this URL is at, in the way that the connection itself goes: where TLS is required, the
/// driver refuses to cancel without.
pub(super) async fn cancel(database_url: &str, token: &CancelToken) -> Result<(), ConnectionError> {
    let config: Config = database_url.parse().map_err(bad_connection)?;
    let cancelled = if config.get_ssl_mode() == SslMode::Require {
        let tls = MakeRustlsConnect::new(verifying_tls()?);
        token.cancel_query(tls).await
    } else {
        token.cancel_query(NoTls).await
    };
    cancelled.map_err(bad_connection)
}

async fn establish_with<Tls>(
    config: &Config,
    tls: Tls,
) -> Result<AsyncPgConnection, ConnectionError>
where
    Tls: MakeTlsConnect<Socket>,
    Tls::Stream: Send + 'static,
{
    let (client, connection) = config.connect(tls).await.map_err(bad_connection)?;
    let mut connection =
        AsyncPgConnection::try_from_client_and_connection(client, connection).await?;
    connection
        .batch_execute(&format!("{PLANNING};{ABANDONMENT}"))
        .await
        .map_err(bad_connection)?;
    Ok(connection)
}

fn verifying_tls() -> Result<ClientConfig, ConnectionError> {
    let mut roots = RootCertStore::empty();
    // What can't be parsed among the system's certificates is no reason to distrust the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(bad_connection)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// The error with its causes: that of tokio-postgres alone says only "error connecting to server".
fn bad_connection(error: impl std::error::Error + 'static) -> ConnectionError {
    let mut text = String::new();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&certificate_fault(error).unwrap_or_else(|| error.to_string()));
        cause = error.source();
    }
    ConnectionError::BadConnection(text)
}

/// What is wrong with the server's certificate, if that is the error. What rustls has no sentence for it shows as it is
/// spelt in its code.
fn certificate_fault(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let within = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    let rustls::Error::InvalidCertificate(fault) = within.downcast_ref()? else {
        return None;
    };
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "rustls's error enum is not exhaustive"
    )]
    let what = match fault {
        CertificateError::UnknownIssuer => {
            "is of no authority that is trusted: neither the system's, nor those of SSL_CERT_FILE"
                .to_owned()
        }
        CertificateError::Other(_) => {
            "is none that a server may use: an authority's own certificate, perhaps".to_owned()
        }
        other => format!("is not accepted: {other}"),
    };
    Some(format!("the server's certificate {what}"))
}
