//! The promoter: what waited for its time becomes ready, retries as well as leases that nobody ended.

use std::sync::Arc;
use std::time::Duration;

use reprise_core::store::{Database, StoreError, delivery_queue, leases};
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

/// The one task that promotes.
pub(crate) struct Promoter {
    pub(crate) database: Database,
    pub(crate) wakeup: Arc<Wakeup>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) watch: Watch,
    pub(crate) stop: CancellationToken,
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
                Err(error) => self.watch.failed(&error),
            };
            let _ = tokio::time::timeout(wait, self.stop.cancelled()).await;
        }
    }

    /// Moves what is due, batch by batch, until nothing is left.
    async fn promote(&self) -> Result<(), StoreError> {
        let mut conn = self.database.connection().await?;
        let mut is_done = false;
        while !is_done && !self.stop.is_cancelled() {
            let due = delivery_queue::promote_due(&mut conn, BATCH).await?;
            let lost = leases::take_over_expired(&mut conn, BATCH).await?;
            if lost > 0 {
                warn!(
                    lost,
                    "Took over {lost} deliveries whose leases had expired; their attempts count as lost"
                );
                self.metrics.lost.add(lost);
            }
            if due + lost > 0 {
                self.wakeup.wake();
            }
            is_done = due + lost == 0;
        }
        Ok(())
    }
}
