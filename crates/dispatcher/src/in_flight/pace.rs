//! How fast an endpoint answers, and so how much may be claimed for it ahead.

use std::time::{Duration, Instant};

/// What is answered in this time may be claimed ahead: a claim and the loading of its payloads take some milliseconds,
/// in which a fast endpoint would have nothing to do. Longer, and more waits here where another dispatcher could send
/// it; shorter, and each of many dispatchers, which have a part of it each, claims few at a time.
const WINDOW: Duration = Duration::from_millis(100);

/// Counts what an endpoint has answered in this window of time and the last one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    window_from: Instant,
    in_window: i32,
    in_last_window: i32,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            window_from: now,
            in_window: 0,
            in_last_window: 0,
        }
    }

    /// One more was answered.
    pub(super) fn count(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.window_from);
        if age >= WINDOW {
            *self = Self {
                in_last_window: if age < 2 * WINDOW { self.in_window } else { 0 },
                ..Self::new(now)
            };
        }
        self.in_window += 1;
    }

    /// Whether nothing was answered lately.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.window_from) >= 2 * WINDOW
    }

    /// What may be claimed ahead, `at_most` so much: what was answered in a window. An endpoint that has stopped to
    /// answer gets nothing ahead.
    pub(super) fn ahead(&self, now: Instant, at_most: i32) -> i32 {
        let age = now.saturating_duration_since(self.window_from);
        let answered = if age < WINDOW {
            self.in_last_window.max(self.in_window)
        } else if age < 2 * WINDOW {
            self.in_window
        } else {
            0
        };
        answered.min(at_most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_answered_in_a_window_may_be_claimed_ahead() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.ahead(start, 64), 0);
        for _ in 0..30 {
            pace.count(start);
        }
        assert_eq!(pace.ahead(start, 64), 30);
        assert_eq!(pace.ahead(start, 20), 20);
        let next = start + WINDOW;
        pace.count(next);
        assert_eq!(pace.ahead(next, 64), 30, "the last window counts too");
        pace.count(next + WINDOW);
        assert_eq!(pace.ahead(next + WINDOW, 64), 1);
    }

    #[test]
    fn an_endpoint_that_has_stopped_to_answer_gets_nothing_ahead() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.count(start);
        assert_eq!(pace.ahead(start + 2 * WINDOW, 64), 0);
        pace.count(start + 5 * WINDOW);
        assert_eq!(pace.ahead(start + 5 * WINDOW, 64), 1);
    }
}
