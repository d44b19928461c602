//! The promoter: what waited for its time becomes ready, retries as well as leases that nobody ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_core::store::{AsyncPgConnection, Database, StoreError, delivery_queue, lost};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::metrics::Metrics;
use crate::outage::Watch;
use crate::wakeup::Wakeup;

/// How often the waiting part of the queue is looked at: what a retry comes late at most. Shorter, and replicas look
/// in vain more often; each look is two probes of an index.
const INTERVAL: Duration = Duration::from_millis(250);
/// Rows moved by one statement. More would hold their locks for long; fewer cost more commits.
const BATCH: i32 = 500;
/// How long after an outage of PostgreSQL nothing is taken over: leases have expired whose dispatchers live and hold a
/// result, and they get to record it first. Shorter, and what was sent is sent again; longer, and dead ones' leases
/// wait.
const GRACE: Duration = Duration::from_secs(5);

/// The one task that promotes.
pub(crate) struct Promoter {
    pub(crate) database: Database,
    pub(crate) wakeup: Arc<Wakeup>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) watch: Watch,
    pub(crate) stop: CancellationToken,
    /// When PostgreSQL could not be asked last; at the start, for all that this process knows, just now.
    pub(crate) failed_at: Option<Instant>,
}

impl Promoter {
    /// Promotes until told to stop.
    pub(crate) async fn run(mut self) {
        while !self.stop.is_cancelled() {
            let wait = match self.promote().await {
                Ok(()) => {
                    self.watch.worked();
                    INTERVAL
                }
                Err(error) => {
                    self.failed_at = Some(Instant::now());
                    self.watch.failed(&error)
                }
            };
            let _ = tokio::time::timeout(wait, self.stop.cancelled()).await;
        }
    }

    async fn take_over_expired(&self, conn: &mut AsyncPgConnection) -> Result<usize, StoreError> {
        if self.failed_at.is_some_and(|at| at.elapsed() < GRACE) {
            return Ok(0);
        }
        lost::take_over_expired(conn, BATCH).await
    }

    /// Moves what is due, batch by batch, until nothing is left.
    async fn promote(&self) -> Result<(), StoreError> {
        let mut conn = self.database.connection().await?;
        let mut is_done = false;
        while !is_done && !self.stop.is_cancelled() {
            let due = delivery_queue::promote_due(&mut conn, BATCH).await?;
            let lost = self.take_over_expired(&mut conn).await?;
            if lost > 0 {
                warn!(
                    lost,
                    "Took over {lost} deliveries whose leases had expired; their attempts count as lost"
                );
                self.metrics.lost.add(lost);
            }
            if due + lost > 0 {
                self.wakeup.hint_returned();
            }
            is_done = due + lost == 0;
        }
        Ok(())
    }
}
