//! All SQL, one file per table. Callers hold a connection, compose transactions, and call named functions.
//!
//! Whoever changes an unfinished delivery holds the lock of its row in `delivery_queue` first; locks on endpoints are
//! taken after that, in the order of their keys. So no two transactions of ours can wait for each other in a circle.

pub mod api_keys;
pub mod attempts;
pub mod circuits;
pub mod connection;
pub mod deliveries;
pub mod delivery_lists;
pub mod delivery_queue;
pub mod direct_events;
pub mod dispatchers;
pub mod endpoints;
pub mod events;
pub mod hook_requests;
pub mod idempotency_keys;
pub mod leases;
pub mod lost;
pub mod messages;
pub mod migrations;
pub mod notifications;
pub mod partitions;
pub mod pool;
pub mod published_events;
pub mod recording;
pub mod replays;
pub mod scan;
#[rustfmt::skip]
mod schema;
pub mod settling;
mod statement;
pub mod subscriptions;
pub mod tenants;
pub mod turns;
pub mod users;

use std::time::Duration;

use diesel::result::DatabaseErrorKind;
use thiserror::Error;

pub use connection::connect;
pub use diesel::result::Error as DieselError;
pub use diesel_async::AsyncPgConnection;
pub use migrations::migrate;
pub use pool::{ConnectionFault, Database};

/// A statement did not do what it should.
#[derive(Debug, Error)]
pub enum StoreError {
    /// PostgreSQL is away, or can't commit now; the same call may work later.
    #[error("PostgreSQL is not available: {0}")]
    Unavailable(String),
    /// PostgreSQL answered with an error whose SQLSTATE Diesel hides. Nearly always it is the operator's (disk full, a
    /// deadlock, shutting down) and the same call works later, as after [`Unavailable`](Self::Unavailable). But it may
    /// be a value that PostgreSQL will never take; whether it takes others tells the two apart.
    #[error("PostgreSQL refused: {0}")]
    Refused(String),
    /// A unique value is taken; holds the constraint's name.
    #[error("a unique value is taken already: {0}")]
    Taken(String),
    /// A row can't be read as what it should be: another version wrote it, or the key it was sealed with is gone.
    #[error("a stored value can't be read: {0}")]
    Corrupt(String),
    /// Anything else is a mistake of ours.
    #[error("statement failed")]
    Failed(#[source] DieselError),
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "diesel's error enums are not exhaustive"
        )]
        match &error {
            DieselError::DatabaseError(kind, information) => match kind {
                DatabaseErrorKind::UniqueViolation => Self::Taken(
                    information
                        .constraint_name()
                        .map_or_else(String::new, str::to_owned),
                ),
                DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::SerializationFailure
                | DatabaseErrorKind::ReadOnlyTransaction => {
                    Self::Unavailable(information.message().to_owned())
                }
                DatabaseErrorKind::Unknown => Self::Refused(information.message().to_owned()),
                _ => Self::Failed(error),
            },
            DieselError::BrokenTransactionManager => {
                Self::Unavailable("the connection broke off".to_owned())
            }
            _ => Self::Failed(error),
        }
    }
}

impl StoreError {
    /// Whether the same call may work later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Refused(_) => true,
            Self::Taken(_) | Self::Corrupt(_) | Self::Failed(_) => false,
        }
    }

    /// A stored value that should have parsed, with what is wrong with it.
    pub(crate) fn corrupt(what: &str, error: impl std::fmt::Display) -> Self {
        Self::Corrupt(format!("{what}: {error}"))
    }
}

/// The row of a statement that commits by itself, read to its end by `load`: `get_result` of diesel-async returns with the
/// first row, which PostgreSQL sends although the commit fails after it.
fn only_row<Row>(rows: Vec<Row>) -> Option<Row> {
    rows.into_iter().next()
}

/// Reads a stored value back into its type; a refusal means that the row is corrupt.
pub(crate) fn stored<T, E: std::fmt::Display>(
    what: &str,
    parsed: Result<T, E>,
) -> Result<T, StoreError> {
    parsed.map_err(|error| StoreError::corrupt(what, error))
}

/// A duration as PostgreSQL's `bigint` of milliseconds, the largest one if it does not fit.
pub(crate) fn whole_milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
