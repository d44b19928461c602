//! Waiting longer and longer between tries of what fails.

use std::time::Duration;

/// The first wait: short enough that a restarted PostgreSQL is found at once.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait. Longer, and deliveries rest after PostgreSQL is back; shorter, and an outage is hammered on.
const LONGEST: Duration = Duration::from_secs(2);

/// The next wait; it doubles at every failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The wait after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        wait
    }
}
