//! Telling the dispatchers that something is ready, without a NOTIFY per event: NOTIFY takes a lock at commit.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reprise_core::ready_hint::ReadyHint;
use reprise_core::store::{Database, notifications};
use tokio::sync::Notify;
use tracing::debug;

/// Time between two notifications of one process at least. Shorter costs commits; longer adds to the latency of the
/// second event after a quiet time, never to the first one's.
const MIN_INTERVAL: Duration = Duration::from_millis(2);
/// The same while commits hold [`MANY_EVENTS`] or more: then there is a queue before this, and dispatchers are busy. A
/// notification costs PostgreSQL as much as some four deliveries do.
const BUSY_INTERVAL: Duration = Duration::from_millis(10);
const MANY_EVENTS: usize = 8;

/// What the dispatchers are still to be told. A commit that makes something ready tells it, where the last notification
/// was long enough ago; else it is told a little later, by another commit or by itself.
#[derive(Default)]
pub struct WakeUp {
    asked: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    told_at: Option<Instant>,
    untold: ReadyHint,
    /// Whether the last commit was a large one.
    is_busy: bool,
}

impl State {
    /// What is to be told now, if it is time to tell anything.
    fn take_if_due(&mut self) -> Option<ReadyHint> {
        let now = Instant::now();
        let interval = if self.is_busy {
            BUSY_INTERVAL
        } else {
            MIN_INTERVAL
        };
        let is_due = |at: Instant| now.saturating_duration_since(at) >= interval;
        if !self.told_at.is_none_or(is_due) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

impl WakeUp {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a commit of so many events that begins now is to tell besides its own, if it is to tell anything. What it does
    /// not tell after all is to be [asked](Self::ask) for.
    pub fn turn(&self, event_count: usize) -> Option<ReadyHint> {
        let mut state = self.state();
        state.is_busy = event_count >= MANY_EVENTS;
        state.take_if_due()
    }

    /// Sees to it that the dispatchers are told. Returns at once.
    pub fn ask(&self, hint: &ReadyHint) {
        if !hint.is_nowhere() {
            self.state().untold.merge(hint);
            self.asked.notify_one();
        }
    }

    /// Tells what was asked for and no commit has told, for ever. A failure is nothing but a debug line: dispatchers poll
    /// besides.
    ///
    /// Cancel safety: dropping the future loses at most one hint.
    pub async fn run(&self, database: &Database) {
        loop {
            self.asked.notified().await;
            let hint = loop {
                let due = self.state().take_if_due();
                match due {
                    Some(hint) => break hint,
                    // A commit may tell it meanwhile.
                    None => tokio::time::sleep(MIN_INTERVAL).await,
                }
            };
            if hint.is_nowhere() {
                continue;
            }
            let notified = match database.connection().await {
                Ok(mut connection) => notifications::notify_ready(&mut connection, &hint).await,
                Err(error) => Err(error),
            };
            if let Err(error) = notified {
                debug!(%error, "Could not wake the dispatchers, they will find out by polling");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use reprise_core::ids::{EndpointId, TenantId};

    use super::*;

    fn somewhere() -> ReadyHint {
        let mut hint = ReadyHint::default();
        hint.add(TenantId::new(), EndpointId::new());
        hint
    }

    #[test]
    fn the_first_commit_tells_and_the_next_one_is_told_later_with_what_came_meanwhile() {
        let wake_up = WakeUp::default();
        assert_eq!(wake_up.turn(1), Some(ReadyHint::default()));
        assert_eq!(wake_up.turn(1), None, "that was a moment ago");
        let untold = somewhere();
        wake_up.ask(&untold);
        wake_up.state().told_at = Instant::now().checked_sub(MIN_INTERVAL);
        assert_eq!(wake_up.turn(1), Some(untold));
        assert!(wake_up.state().untold.is_nowhere(), "once is enough");
    }

    #[test]
    fn large_commits_tell_less_often() {
        let wake_up = WakeUp::default();
        wake_up.state().told_at = Instant::now().checked_sub(MIN_INTERVAL);
        assert_eq!(wake_up.turn(MANY_EVENTS), None);
        wake_up.state().told_at = Instant::now().checked_sub(BUSY_INTERVAL);
        assert!(wake_up.turn(MANY_EVENTS).is_some());
    }
}
