//! What metrics tell of the queue, which all dispatchers share: looked at when somebody asks, and not again for a
//! while.

use std::time::{Duration, Instant};

use reprise_core::store::circuits::{self, CircuitCounts};
use reprise_core::store::delivery_queue::{self, OldestReady, QueueDepth};
use reprise_core::store::{AsyncPgConnection, Database, StoreError};
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tracing::debug;

/// How long what was seen is told again. A look reads some 100,000 entries of an index at most; more often, and a stray
/// client could keep PostgreSQL busy with that.
const KEPT_FOR: Duration = Duration::from_secs(2);
/// How long a look may take; after that what was seen last is told.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long after a look that failed nobody looks: PostgreSQL has enough to do then.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// What was seen of the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueState {
    pub(crate) depth: QueueDepth,
    pub(crate) oldest: OldestReady,
    pub(crate) circuits: CircuitCounts,
    pub(crate) at: OffsetDateTime,
}

/// The last look.
#[derive(Debug, Default)]
pub(crate) struct QueueLook {
    /// Held while looking: whoever asks meanwhile gets the same.
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    seen: Option<QueueState>,
    next_at: Option<Instant>,
}

impl QueueLook {
    /// The queue as it is, or was a moment ago; as it was when it could be looked at last while PostgreSQL can't be
    /// asked.
    pub(crate) async fn state(&self, database: &Database) -> Option<QueueState> {
        let mut last = self.last.lock().await;
        if last.next_at.is_none_or(|at| Instant::now() >= at) {
            let pause = match database.run(DEADLINE, look).await.flatten() {
                Ok(seen) => {
                    last.seen = Some(seen);
                    KEPT_FOR
                }
                Err(error) => {
                    debug!(%error, "The queue can't be looked at");
                    PAUSE_AFTER_FAILURE
                }
            };
            last.next_at = Some(Instant::now() + pause);
        }
        last.seen
    }
}

async fn look(conn: &mut AsyncPgConnection) -> Result<QueueState, StoreError> {
    Ok(QueueState {
        depth: delivery_queue::depth(conn).await?,
        oldest: delivery_queue::oldest_ready(conn).await?,
        circuits: circuits::count(conn).await?,
        at: OffsetDateTime::now_utc(),
    })
}
