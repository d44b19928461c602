//! The heartbeat: says that this dispatcher lives, and frees the leases of peers that no longer say so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_core::ids::DispatcherId;
use reprise_core::store::{Database, StoreError, dispatchers};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::metrics::Metrics;
use crate::outage::Watch;
use crate::wakeup::Wakeup;

/// Between heartbeats: a fifth of the silence that makes a peer free our leases, so that some may be late.
const INTERVAL: Duration = Duration::from_secs(2);
/// Silence after which a dispatcher counts as dead. Shorter, and a pause of its machine costs second sends; longer, and
/// what a killed one held waits.
const SILENCE_SECONDS: i32 = 10;
const SILENCE: Duration = Duration::from_secs(10);
/// The longest time between two heartbeats of ours that is no break.
const LONGEST_GAP: Duration = Duration::from_secs(5);

/// The one task that beats.
pub(crate) struct Heartbeat {
    pub(crate) database: Database,
    pub(crate) dispatcher_id: DispatcherId,
    pub(crate) hostname: String,
    pub(crate) wakeup: Arc<Wakeup>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) watch: Watch,
    pub(crate) stop: CancellationToken,
    pub(crate) streak: Streak,
}

/// Since when our own heartbeat has succeeded without a break. After an outage of PostgreSQL, or when this process was
/// frozen, everybody else looks silent; only a long streak entitles to judge.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Streak {
    since: Option<Instant>,
    last: Option<Instant>,
}

impl Streak {
    fn beat_at(&mut self, now: Instant) {
        let is_unbroken = self
            .last
            .is_some_and(|last| now.duration_since(last) <= LONGEST_GAP);
        if !is_unbroken {
            self.since = Some(now);
        }
        self.last = Some(now);
    }

    fn broken(&mut self) {
        *self = Self::default();
    }

    fn entitles_to_judge(&self, now: Instant) -> bool {
        self.since
            .is_some_and(|since| now.duration_since(since) >= SILENCE)
    }
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
        let mut conn = self.database.connection().await?;
        dispatchers::beat(&mut conn, self.dispatcher_id, &self.hostname).await?;
        let now = Instant::now();
        self.streak.beat_at(now);
        if self.streak.entitles_to_judge(now) {
            let freed = dispatchers::end_leases_of_silent(&mut conn, SILENCE_SECONDS).await?;
            if freed > 0 {
                warn!(
                    freed,
                    "Freed {freed} leases of dispatchers that have fallen silent"
                );
                self.metrics.leases_of_silent.add(freed);
                self.wakeup.hint_all();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn only_an_unbroken_streak_entitles_to_judge() {
        let start = Instant::now();
        let mut streak = Streak::default();
        for seconds in [0, 2, 4, 6, 8] {
            streak.beat_at(after(start, seconds));
            assert!(!streak.entitles_to_judge(after(start, seconds)));
        }
        streak.beat_at(after(start, 10));
        assert!(streak.entitles_to_judge(after(start, 10)));
    }

    #[test]
    fn a_failure_or_a_freeze_breaks_the_streak() {
        let start = Instant::now();
        let mut streak = Streak::default();
        (0..=10).for_each(|seconds| streak.beat_at(after(start, seconds)));
        let mut frozen = streak;
        frozen.beat_at(after(start, 60));
        assert!(!frozen.entitles_to_judge(after(start, 60)));
        streak.broken();
        streak.beat_at(after(start, 12));
        assert!(!streak.entitles_to_judge(after(start, 12)));
    }
}
