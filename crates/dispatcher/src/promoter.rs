//! The promoter: what waited for its time becomes ready, retries as well as leases that nobody ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_core::store::{Database, StoreError, delivery_queue, lost};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::metrics::Metrics;
use crate::outage::Watch;
use crate::streak::Streak;
use crate::wakeup::Wakeup;

/// How often the waiting part of the queue is looked at: what a retry comes late at most. Shorter, and replicas look
/// in vain more often; each look is two probes of an index.
const INTERVAL: Duration = Duration::from_millis(250);
/// Rows moved by one statement. More would hold their locks for long; fewer cost more commits.
const BATCH: i32 = 500;
/// How long PostgreSQL must have answered before leases are taken over: after an outage, or when all stood still,
/// leases have expired whose dispatchers live and hold a result, and they get to record it first. They try again every
/// two seconds, and wait three for a connection. Shorter, and what was sent is sent again; longer, and dead ones'
/// leases wait.
pub(crate) const GRACE: Duration = Duration::from_secs(6);
/// How long moving a batch may take. Longer, and a PostgreSQL that hangs is noticed late; shorter, and a busy one moves
/// nothing.
const DEADLINE: Duration = Duration::from_secs(10);

/// The one task that promotes.
pub(crate) struct Promoter {
    pub(crate) database: Database,
    pub(crate) wakeup: Arc<Wakeup>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) watch: Watch,
    pub(crate) stop: CancellationToken,
    pub(crate) streak: Streak,
}

impl Promoter {
    /// Promotes until told to stop, even in the middle of it: what is not committed then is left as it was.
    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.promote_for_ever()).await;
    }

    async fn promote_for_ever(&mut self) {
        loop {
            let wait = match self.promote().await {
                Ok(()) => {
                    self.watch.worked();
                    INTERVAL
                }
                Err(error) => {
                    self.streak.broken();
                    self.watch.failed(&error)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Moves what is due, batch by batch, until nothing is left.
    async fn promote(&mut self) -> Result<(), StoreError> {
        let mut is_done = false;
        while !is_done {
            let promoting = async |conn: &mut _| delivery_queue::promote_due(conn, BATCH).await;
            let due = self.database.run(DEADLINE, promoting).await.flatten()?;
            self.streak.answered(Instant::now());
            let lost = self.take_over_expired().await?;
            if due + lost > 0 {
                self.wakeup.hint_returned();
            }
            is_done = due + lost == 0;
        }
        Ok(())
    }

    async fn take_over_expired(&self) -> Result<usize, StoreError> {
        if !self.streak.entitles_to_judge(Instant::now()) {
            return Ok(0);
        }
        let taking_over = async |conn: &mut _| lost::take_over_expired(conn, BATCH).await;
        let lost = self.database.run(DEADLINE, taking_over).await.flatten()?;
        if lost > 0 {
            warn!(
                lost,
                "Took over {lost} deliveries whose leases had expired; their attempts count as lost"
            );
            self.metrics.lost.add(lost);
        }
        Ok(lost)
    }
}
