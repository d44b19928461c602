//! The heartbeat: says that this dispatcher lives, learns which others do, and frees the leases of those that no longer
//! say so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_core::ids::DispatcherId;
use reprise_core::store::{Database, StoreError, dispatchers};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::homes::Homes;
use crate::metrics::Metrics;
use crate::outage::Watch;
use crate::streak::Streak;
use crate::wakeup::Wakeup;

/// Between heartbeats: a fifth of the silence that makes a peer free our leases, so that some may be late.
const INTERVAL: Duration = Duration::from_secs(2);
/// Silence after which a dispatcher counts as dead. Shorter, and a pause of its machine costs second sends; longer, and
/// what a killed one held waits.
const SILENCE_SECONDS: i32 = 10;
pub(crate) const SILENCE: Duration = Duration::from_secs(10);
/// How long a heartbeat may take before another is tried, on another connection. Longer, and one connection that
/// nothing comes through any more costs this dispatcher its leases; shorter, and a slow commit counts as none.
const DEADLINE: Duration = Duration::from_secs(3);

/// The one task that beats.
pub(crate) struct Heartbeat {
    pub(crate) database: Database,
    pub(crate) dispatcher_id: DispatcherId,
    pub(crate) hostname: String,
    pub(crate) homes: Homes,
    pub(crate) wakeup: Arc<Wakeup>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) watch: Watch,
    pub(crate) stop: CancellationToken,
    pub(crate) streak: Streak,
}

impl Heartbeat {
    /// Beats once, so that peers know this dispatcher before it claims anything; waits for PostgreSQL if need be.
    pub(crate) async fn begin(&mut self) {
        while !self.stop.is_cancelled() {
            match self.beat().await {
                Ok(()) => return self.watch.worked(),
                Err(error) => {
                    let wait = self.watch.failed(&error);
                    self.pause(wait).await;
                }
            }
        }
    }

    /// Beats until told to stop.
    pub(crate) async fn run(mut self) {
        while !self.stop.is_cancelled() {
            match self.beat().await {
                Ok(()) => self.watch.worked(),
                Err(error) => {
                    self.streak.broken();
                    self.watch.failed(&error);
                }
            }
            self.pause(INTERVAL).await;
        }
    }

    async fn pause(&self, wait: Duration) {
        let _ = tokio::time::timeout(wait, self.stop.cancelled()).await;
    }

    async fn beat(&mut self) -> Result<(), StoreError> {
        let (id, hostname) = (self.dispatcher_id, &self.hostname);
        let beating = async |conn: &mut _| {
            dispatchers::beat(conn, id, hostname).await?;
            dispatchers::find_alive(conn, SILENCE_SECONDS).await
        };
        let alive = self.database.run(DEADLINE, beating).await.flatten()?;
        self.homes.are_among(alive);
        let now = Instant::now();
        self.streak.answered(now);
        if self.streak.entitles_to_judge(now) {
            self.free_leases_of_silent().await?;
        }
        Ok(())
    }

    async fn free_leases_of_silent(&self) -> Result<(), StoreError> {
        let freeing =
            async |conn: &mut _| dispatchers::end_leases_of_silent(conn, SILENCE_SECONDS).await;
        let freed = self.database.run(DEADLINE, freeing).await.flatten()?;
        if freed > 0 {
            warn!(
                freed,
                "Freed {freed} leases of dispatchers that have fallen silent"
            );
            self.metrics.leases_of_silent.add(freed);
            self.wakeup.hint_all();
        }
        Ok(())
    }
}
