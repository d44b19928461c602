//! Waiting with patience: for conditions that nobody notifies us of, and for those that somebody does.
//!
//! Patience is measured in the time that this process lived through. A busy machine stops tests for seconds, and
//! whoever measures on it for minutes; the programs that a test waits for stand still meanwhile too, and get their time
//! when all goes on. By the clock on the wall a test that was stopped has waited in vain.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

/// Short enough to be invisible in a test's duration, long enough not to load the API.
const INTERVAL: Duration = Duration::from_millis(20);
/// What one interval counts at most, however long it took: a process that was stopped was not waiting.
const COUNTED_AT_MOST: Duration = Duration::from_millis(200);

/// Asks `probe` again and again until it yields a value; `None` when `timeout` is over first.
pub async fn poll_until<T>(
    timeout: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let mut patience = Patience::begin(timeout);
    while patience.lasts().await {
        if let Some(value) = probe().await {
            return Some(value);
        }
    }
    None
}

/// Awaits `future`; `None` when `timeout` is over first.
///
/// Cancel safety: that of `future`, which is dropped when the time is over.
pub async fn wait_for<Awaited: Future>(
    timeout: Duration,
    future: Awaited,
) -> Option<Awaited::Output> {
    let mut patience = Patience::begin(timeout);
    let is_over = async { while patience.lasts().await {} };
    tokio::select! {
        biased;
        value = future => Some(value),
        () = is_over => None,
    }
}

/// What is left of a time to wait.
struct Patience {
    left: Duration,
    counted_at: Instant,
    ticks: tokio::time::Interval,
}

impl Patience {
    fn begin(timeout: Duration) -> Self {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            left: timeout,
            counted_at: Instant::now(),
            ticks,
        }
    }

    /// Waits for the next tick; whether there was any time left.
    async fn lasts(&mut self) -> bool {
        let is_over = self.left.is_zero();
        self.ticks.tick().await;
        let now = Instant::now();
        let passed = now.duration_since(self.counted_at).min(COUNTED_AT_MOST);
        self.left = self.left.saturating_sub(passed);
        self.counted_at = now;
        !is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let begun = Instant::now();
        assert_eq!(
            poll_until(Duration::from_secs(2), async || None::<()>).await,
            None
        );
        let never = std::future::pending::<()>();
        assert_eq!(wait_for(Duration::from_secs(2), never).await, None);
        let waited = begun.elapsed();
        assert!(
            waited >= Duration::from_secs(4) && waited < Duration::from_secs(5),
            "{waited:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_process_was_stopped_does_not_count() {
        let mut probes = 0;
        let found = poll_until(Duration::from_secs(2), async || {
            probes += 1;
            // As if it had been stopped.
            tokio::time::advance(Duration::from_mins(1)).await;
            (probes == 5).then_some(probes)
        });
        assert_eq!(found.await, Some(5));
    }
}
