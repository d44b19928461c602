//! When the queue's dead rows are to be removed.

use std::time::{Duration, Instant};

/// How often dead rows are counted. Longer, and claims read past more of them; shorter, and PostgreSQL reads the table
/// for fewer of them each time.
const INTERVAL: Duration = Duration::from_secs(10);
/// Dead rows that are worth reading the table and its indexes for: some ten milliseconds' work.
const MANY: u64 = 50_000;
/// The longest pause while nothing gets less.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// When to look again.
#[derive(Debug)]
pub(super) struct Vacuuming {
    next_at: Option<Instant>,
    pause: Duration,
    /// How many there are to be removed.
    dead: u64,
}

impl Default for Vacuuming {
    fn default() -> Self {
        Self {
            next_at: None,
            pause: INTERVAL,
            dead: 0,
        }
    }
}

impl Vacuuming {
    /// Whether it is time to count.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next_at.is_none_or(|at| now >= at)
    }

    /// Whether so many dead rows are to be removed now.
    pub(super) fn is_wanted(&mut self, dead: u64, now: Instant) -> bool {
        self.dead = dead;
        self.next_at = Some(now + self.pause);
        dead >= MANY
    }

    /// So many were left. What a long transaction can still see (a backup, a forgotten session) stays: as long as that
    /// is most of them, the pauses get longer.
    pub(super) fn has_left(&mut self, dead: u64, now: Instant) {
        self.pause = if dead > self.dead / 2 {
            (self.pause * 2).min(LONGEST_PAUSE)
        } else {
            INTERVAL
        };
        self.next_at = Some(now + self.pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_removed_and_few_are_left() {
        let now = Instant::now();
        let mut vacuuming = Vacuuming::default();
        assert!(vacuuming.is_due(now));
        assert!(!vacuuming.is_wanted(MANY - 1, now));
        assert!(!vacuuming.is_due(now));
        assert!(vacuuming.is_due(now + INTERVAL));
        assert!(vacuuming.is_wanted(MANY, now + INTERVAL));
    }

    #[test]
    fn pauses_get_longer_while_it_is_in_vain_and_short_again_when_it_is_not() {
        let now = Instant::now();
        let mut vacuuming = Vacuuming::default();
        assert!(vacuuming.is_wanted(MANY, now));
        vacuuming.has_left(MANY, now);
        assert!(!vacuuming.is_due(now + INTERVAL));
        assert!(vacuuming.is_due(now + INTERVAL * 2));
        for _ in 0..10 {
            assert!(vacuuming.is_wanted(MANY, now));
            vacuuming.has_left(MANY, now);
        }
        assert!(!vacuuming.is_due(now + LONGEST_PAUSE - INTERVAL));
        assert!(vacuuming.is_due(now + LONGEST_PAUSE));
        assert!(vacuuming.is_wanted(MANY, now));
        vacuuming.has_left(MANY / 10, now);
        assert!(vacuuming.is_due(now + INTERVAL));
    }
}
