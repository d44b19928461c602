//! The one waiting loop of the testkit: for conditions that nobody notifies us of.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

/// Short enough to be invisible in a test's duration, long enough not to load the API.
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks `probe` again and again until it yields a value; `None` when `timeout` is over first.
pub async fn poll_until<T>(
    timeout: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let deadline = Instant::now() + timeout;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < deadline {
        ticks.tick().await;
        if let Some(value) = probe().await {
            return Some(value);
        }
    }
    None
}
