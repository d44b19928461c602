//! Single connections to PostgreSQL: their time-outs, and TLS where the URL asks for it.

use std::sync::Arc;
use std::time::Duration;

use diesel::ConnectionError;
use diesel_async::AsyncPgConnection;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::StoreError;

/// How long each host of the URL may take to accept a connection, unless the URL says it (`connect_timeout`).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// When a silent connection is asked for a sign of life, and how long data may stay unacknowledged. Longer, and a
/// cut cable is found late; the operating system's default of two hours would leave a listener deaf that long.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);

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

/// [`connect`] with the error that the pool wants.
pub(super) async fn establish(database_url: &str) -> Result<AsyncPgConnection, ConnectionError> {
    let mut config: Config = database_url.parse().map_err(bad_connection)?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    config
        .keepalives_idle(SILENCE_TIMEOUT)
        .keepalives_interval(SILENCE_TIMEOUT / 4)
        .tcp_user_timeout(SILENCE_TIMEOUT);
    if config.get_ssl_mode() == SslMode::Require {
        establish_with(&config, MakeRustlsConnect::new(verifying_tls()?)).await
    } else {
        establish_with(&config, NoTls).await
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
    AsyncPgConnection::try_from_client_and_connection(client, connection).await
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
fn bad_connection(error: impl std::error::Error) -> ConnectionError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    ConnectionError::BadConnection(text)
}
