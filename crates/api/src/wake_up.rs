//! Telling the dispatchers that something is ready, without a NOTIFY per event: NOTIFY takes a lock at commit.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reprise_core::ready_hint::ReadyHint;
use reprise_core::store::{Database, notifications};
use tokio::sync::Notify;
use tracing::debug;

/// Time between two notifications of one process at least. Shorter costs commits; longer adds to the latency of the
/// second event after a quiet time, never to the first one's.
const MIN_INTERVAL: Duration = Duration::from_millis(5);

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
}

impl WakeUp {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a commit that begins now is to tell besides its own, if it is to tell anything. What it does not tell after
    /// all is to be [asked](Self::ask) for.
    pub fn turn(&self) -> Option<ReadyHint> {
        let now = Instant::now();
        let mut state = self.state();
        let is_due = |at: Instant| now.saturating_duration_since(at) >= MIN_INTERVAL;
        if !state.told_at.is_none_or(is_due) {
            return None;
        }
        state.told_at = Some(now);
        Some(std::mem::take(&mut state.untold))
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
                match self.turn() {
                    Some(hint) => break hint,
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
