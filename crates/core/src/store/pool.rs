//! The pool of connections to PostgreSQL.

use std::time::Duration;

use bb8::QueueStrategy;
use diesel_async::pooled_connection::bb8::{Pool, RunError};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError, PoolableConnection, RecyclingMethod,
};
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, TransactionManager};
use futures_util::FutureExt;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::StoreError;
use super::connection::{cancel as cancel_at, establish};
use super::turns::{Turn, TurnKey, Turns};
use crate::secret::SecretText;

/// How long a caller waits for a connection. Longer, and a client hangs while PostgreSQL is away; shorter, and a short
/// burst is refused.
const CHECKOUT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long cancelling a statement may take, which means connecting, with TLS perhaps. Longer, and the caller's answer is
/// late beyond the deadline; shorter, and the statement goes on where a machine is busy.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that goes back to the pool when dropped.
pub type PooledConnection<'a> =
    diesel_async::pooled_connection::bb8::PooledConnection<'a, AsyncPgConnection>;

/// PostgreSQL, through a pool that connects when it is first used and again whenever it must.
#[derive(Clone)]
pub struct Database {
    pool: Pool<AsyncPgConnection>,
    url: SecretText,
    turns: Turns,
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
        let pool = Pool::builder()
            .max_size(max_connections)
            .connection_timeout(CHECKOUT_TIMEOUT)
            // The one that was used last: the server's process for it is the one that has its data at hand.
            .queue_strategy(QueueStrategy::Lifo)
            .build_unchecked(manager);
        Self {
            pool,
            url: SecretText::new(url),
            turns: Turns::default(),
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

    /// A connection, waiting at most three seconds for one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when there is none by then.
    pub async fn connection(&self) -> Result<PooledConnection<'_>, StoreError> {
        self.pool.get().await.map_err(|error| match error {
            RunError::User(PoolError::ConnectionError(error)) => {
                StoreError::Unavailable(error.to_string())
            }
            RunError::User(PoolError::QueryError(error)) => error.into(),
            RunError::TimedOut => StoreError::Unavailable("no connection within 3 s".to_owned()),
        })
    }

    /// Does something with a connection, within a deadline that begins before there is one. A statement that still runs then is cancelled, and its
    /// connection does not go back to the pool.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when there is no connection, or the deadline has passed; whether a write was
    /// committed is open then.
    pub async fn run<T, E>(
        &self,
        deadline: Duration,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<T, E>,
    ) -> Result<Result<T, E>, StoreError> {
        let end = Instant::now() + deadline;
        let too_late =
            || StoreError::Unavailable(format!("no answer within {} s", deadline.as_secs()));
        let mut connection = timeout_at(end, self.connection())
            .await
            .map_err(|_| too_late())??;
        let cancel = connection.cancel_token();
        if let Ok(result) = timeout_at(end, work(&mut connection)).await {
            return Ok(result);
        }
        // The pool throws it away: else its next user would wait for the statement, and whether cancelling works is not
        // to be learnt from PostgreSQL.
        AnsiTransactionManager::transaction_manager_status_mut(&mut *connection).set_in_error();
        let cancelling = cancel_at(self.url.expose(), &cancel);
        if let Ok(Err(error)) = timeout(CANCEL_TIMEOUT, cancelling).await {
            debug!(%error, "Could not cancel a statement that took too long");
        }
        Err(too_late())
    }
}
