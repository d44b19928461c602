//! What every handler shares.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use reprise_core::endpoint_url::UrlRules;
use reprise_core::sealing::KeyRing;
use reprise_core::store::{AsyncPgConnection, ConnectionFault, Database};

use crate::attempt_waiters::AttemptWaiters;
use crate::auth::Credential;
use crate::auth::known::KnownCredentials;
use crate::auth::login_limits::LoginLimits;
use crate::auth::password::Passwords;
use crate::auth::token::Tokens;
use crate::error::ApiError;
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::pagination::Cursors;
use crate::rate_limit::Buckets;
use crate::subscriptions::SubscriptionCache;
use crate::wake_up::WakeUp;

/// How long one call of the store may take before the client is told to try again: long enough for a slow disk, and
/// far below the 30 s after which clients and proxies give up without knowing anything.
const STORE_DEADLINE: Duration = Duration::from_secs(10);

/// Everything a handler needs, made once by `serve`.
pub struct AppState {
    /// PostgreSQL.
    pub database: Database,
    /// Seals endpoint secrets.
    pub keys: KeyRing,
    /// Which URLs an endpoint may have.
    pub url_rules: UrlRules,
    /// Makes and checks access tokens.
    pub tokens: Tokens,
    /// Checks passwords.
    pub passwords: Passwords,
    /// Credentials seen lately.
    pub known_credentials: KnownCredentials,
    /// Requests a second of one credential; `None` for any number.
    pub request_limits: Option<Buckets<Credential>>,
    /// Failed logins; `None` for any number.
    pub login_limits: Option<LoginLimits>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Makes and checks list cursors.
    pub cursors: Cursors,
    /// Endpoints by tenant, for publishing.
    pub subscriptions: Arc<SubscriptionCache>,
    /// Publishes single events in shared commits.
    pub ingest: Ingest,
    /// Tells the dispatchers of ready deliveries.
    pub wake_up: Arc<WakeUp>,
    /// What is counted.
    pub metrics: Metrics,
    /// Calls that wait for an attempt.
    pub attempt_waiters: Arc<AttemptWaiters>,
}

impl AppState {
    /// Counts a request of a credential.
    ///
    /// # Errors
    ///
    /// [`ApiError::RateLimited`] when it has made too many.
    pub fn limit(&self, credential: Credential) -> Result<(), ApiError> {
        self.request_limits.as_ref().map_or(Ok(()), |limits| {
            limits
                .take(credential, Instant::now())
                .map_err(ApiError::RateLimited)
        })
    }

    /// Does something with a connection, within the store's deadline.
    ///
    /// # Errors
    ///
    /// What `work` returns, and [`ApiError::Unavailable`] when PostgreSQL is away or too slow. Whether a write was
    /// committed is open then.
    pub async fn with_connection<T, E: Into<ApiError> + ConnectionFault>(
        &self,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<T, E>,
    ) -> Result<T, ApiError> {
        self.with_connection_within(STORE_DEADLINE, work).await
    }

    /// [`with_connection`](Self::with_connection) with another deadline.
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn with_connection_within<T, E: Into<ApiError> + ConnectionFault>(
        &self,
        deadline: Duration,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<T, E>,
    ) -> Result<T, ApiError> {
        match self.database.run(deadline, work).await {
            Ok(result) => result.map_err(Into::into),
            Err(error) => Err(error.into()),
        }
    }
}
