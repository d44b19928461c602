//! Since when PostgreSQL has answered without a break. Who was cut off, or frozen, sees expired leases and silent peers
//! everywhere; only a long streak entitles to judge them.

use std::time::{Duration, Instant};

/// The longest time between two answers that is no break. Longer, and a freeze goes unnoticed; shorter, and a busy
/// PostgreSQL's slow answers keep everybody from taking over.
const LONGEST_GAP: Duration = Duration::from_secs(5);

/// How long somebody has been able to see what others do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streak {
    wanted: Duration,
    since: Option<Instant>,
    last: Option<Instant>,
}

impl Streak {
    /// One that entitles to judge when it has lasted for `wanted`.
    pub(crate) fn of(wanted: Duration) -> Self {
        Self {
            wanted,
            since: None,
            last: None,
        }
    }

    /// PostgreSQL has answered.
    pub(crate) fn answered(&mut self, now: Instant) {
        let is_unbroken = self
            .last
            .is_some_and(|last| now.duration_since(last) <= LONGEST_GAP);
        if !is_unbroken {
            self.since = Some(now);
        }
        self.last = Some(now);
    }

    /// PostgreSQL could not be asked.
    pub(crate) fn broken(&mut self) {
        *self = Self::of(self.wanted);
    }

    /// Whether it has lasted long enough.
    pub(crate) fn entitles_to_judge(&self, now: Instant) -> bool {
        self.since
            .is_some_and(|since| now.duration_since(since) >= self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Duration = Duration::from_secs(10);

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn only_an_unbroken_streak_entitles_to_judge() {
        let start = Instant::now();
        let mut streak = Streak::of(WANTED);
        for seconds in [0, 2, 4, 6, 8] {
            streak.answered(after(start, seconds));
            assert!(!streak.entitles_to_judge(after(start, seconds)));
        }
        streak.answered(after(start, 10));
        assert!(streak.entitles_to_judge(after(start, 10)));
    }

    #[test]
    fn a_failure_or_a_freeze_breaks_the_streak() {
        let start = Instant::now();
        let mut streak = Streak::of(WANTED);
        (0..=10).for_each(|seconds| streak.answered(after(start, seconds)));
        let mut frozen = streak;
        frozen.answered(after(start, 60));
        assert!(!frozen.entitles_to_judge(after(start, 60)));
        streak.broken();
        streak.answered(after(start, 12));
        assert!(!streak.entitles_to_judge(after(start, 12)));
    }
}
