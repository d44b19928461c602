//! The pool of connections to PostgreSQL.

mod in_use;
mod last_fault;

use std::time::Duration;

use bb8::QueueStrategy;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::bb8::{Pool, PooledConnection, RunError};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError, PoolableConnection, RecyclingMethod,
};
use futures_util::FutureExt;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::CancelToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::StoreError;
use super::connection::{cancel as cancel_at, establish};
use super::turns::{Turn, TurnKey, Turns};
use crate::secret::SecretText;
use in_use::InUse;
use last_fault::LastFault;

/// How long a caller waits for a connection. Longer, and a client hangs while PostgreSQL is away; shorter, and a short
/// burst is refused.
const CHECKOUT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long cancelling a statement may take, which means connecting, with TLS perhaps. Longer, and tasks pile up while
/// a server hangs; shorter, and the statement goes on where a machine is busy.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// An error of something that was done with a connection.
pub trait ConnectionFault {
    /// Whether PostgreSQL was not available. The connection is not used again then: behind it there may be a server
    /// that takes no writes any more, or nobody. One through which something was refused is as good as before.
    fn is_unavailable(&self) -> bool;
}

impl ConnectionFault for StoreError {
    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// PostgreSQL, through a pool that connects when it is first used and again whenever it must.
#[derive(Clone)]
pub struct Database {
    pool: Pool<AsyncPgConnection>,
    url: SecretText,
    turns: Turns,
    last_fault: LastFault,
    /// What cancels statements. Nobody waits for it.
    cancelling: TaskTracker,
}

/// How the pool is used: connections now, and what callers have got since the program began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolUse {
    /// Connections that there are.
    pub connections: u32,
    /// Of these, connections that nobody has.
    pub idle: u32,
    /// Calls that got one at once.
    pub given_at_once: u64,
    /// Calls that got one after waiting.
    pub given_after_waiting: u64,
    /// Calls that got none.
    pub timed_out: u64,
    /// How long calls have waited, all together.
    pub waited: Duration,
}

impl Database {
    /// A pool of at most `max_connections`; connects to nothing yet, so that a program can start before PostgreSQL has.
    #[must_use]
    pub fn new(url: &str, max_connections: u32) -> Self {
        let mut config = ManagerConfig::<AsyncPgConnection>::default();
        // Asking the client whether its socket is open costs nothing; the default, a query, costs a round trip.
        config.recycling_method = RecyclingMethod::CustomFunction(Box::new(|connection| {
            let broken = connection.is_broken();
            async move {
                if broken {
                    Err(diesel::result::Error::BrokenTransactionManager)
                } else {
                    Ok(())
                }
            }
            .boxed()
        }));
        config.custom_setup = Box::new(|url| establish(url).boxed());
        let manager = AsyncDieselConnectionManager::new_with_config(url, config);
        let last_fault = LastFault::default();
        let pool = Pool::builder()
            .max_size(max_connections)
            .connection_timeout(CHECKOUT_TIMEOUT)
            // The one that was used last: the server's process for it is the one that has its data at hand.
            .queue_strategy(QueueStrategy::Lifo)
            .error_sink(Box::new(last_fault.clone()))
            .build_unchecked(manager);
        Self {
            pool,
            url: SecretText::new(url),
            turns: Turns::default(),
            last_fault,
            cancelling: TaskTracker::new(),
        }
    }

    /// Waits for the turn of what two callers of this process should not be at inside PostgreSQL at once, where the
    /// second would wait for the first with a connection that others need. Taken before [`run`](Self::run).
    ///
    /// Cancel safety: dropping the future leaves the queue.
    pub async fn turn(&self, key: TurnKey) -> Turn {
        self.turns.take(key).await
    }

    /// How the pool is used.
    #[must_use]
    pub fn pool_use(&self) -> PoolUse {
        let state = self.pool.state();
        let counts = state.statistics;
        PoolUse {
            connections: state.connections,
            idle: state.idle_connections,
            given_at_once: counts.get_direct,
            given_after_waiting: counts.get_waited,
            timed_out: counts.get_timed_out,
            waited: counts.get_wait_time,
        }
    }

    /// Does something with a connection, within a deadline that begins before there is one. A statement that still runs
    /// then is cancelled. Its connection does not go back to the pool, nor does that of work that found PostgreSQL
    /// unavailable, or whose caller went away in the middle of it.
    ///
    /// Cancel safety: a statement that was sent goes on, to its end or until PostgreSQL sees that nobody waits; whether
    /// it was committed is open.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when there is no connection, within three seconds, or the deadline has passed;
    /// whether a write was committed is open then.
    pub async fn run<T, E: ConnectionFault>(
        &self,
        deadline: Duration,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<T, E>,
    ) -> Result<Result<T, E>, StoreError> {
        let end = Instant::now() + deadline;
        let too_late =
            || StoreError::Unavailable(format!("no answer within {} s", deadline.as_secs()));
        let connection = timeout_at(end, self.connection())
            .await
            .map_err(|_| too_late())??;
        let mut connection = InUse::new(connection);
        let cancel = connection.cancel_token();
        let Ok(result) = timeout_at(end, work(&mut connection)).await else {
            // Dropped as it is: its next user would wait for the statement, and whether cancelling works is not to be
            // learnt from PostgreSQL.
            drop(connection);
            self.cancel(cancel);
            return Err(too_late());
        };
        if !result.as_ref().is_err_and(ConnectionFault::is_unavailable) {
            connection.keep();
        }
        Ok(result)
    }

    async fn connection(&self) -> Result<PooledConnection<'_, AsyncPgConnection>, StoreError> {
        self.pool.get().await.map_err(|error| match error {
            RunError::User(PoolError::ConnectionError(error)) => {
                StoreError::Unavailable(error.to_string())
            }
            RunError::User(PoolError::QueryError(error)) => error.into(),
            RunError::TimedOut => {
                let seconds = CHECKOUT_TIMEOUT.as_secs();
                let cause = self.last_fault.of_late();
                let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
                StoreError::Unavailable(format!("no connection within {seconds} s{cause}"))
            }
        })
    }

    /// Cancels a statement, while the caller goes on: connecting for it may take as long as the statement has.
    fn cancel(&self, token: CancelToken) {
        let url = self.url.clone();
        self.cancelling.spawn(async move {
            let cancelling = cancel_at(url.expose(), &token);
            if let Ok(Err(error)) = timeout(CANCEL_TIMEOUT, cancelling).await {
                debug!(%error, "Could not cancel a statement that took too long");
            }
        });
    }
}
