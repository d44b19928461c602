//! Waking the claimer: a hint that something may be claimable now. Without hints it looks at the poll interval.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// What the claimer waits for. Any number of hints while it works are one when it waits.
#[derive(Debug, Default)]
pub(crate) struct Wakeup {
    hint: Notify,
    wants_room: AtomicBool,
}

impl Wakeup {
    /// Something may be claimable.
    pub(crate) fn wake(&self) {
        self.hint.notify_one();
    }

    /// A permit or bytes were given back. Only a claimer that waits for that is woken: else every recorded batch would
    /// cost a claim that finds nothing.
    pub(crate) fn room_freed(&self) {
        if self.wants_room.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }

    /// The claimer has no room. To be called before looking how much there is, so that none is freed unseen between
    /// the look and the wait.
    pub(crate) fn want_room(&self) {
        self.wants_room.store(true, Ordering::SeqCst);
    }

    /// The claimer has found room after all.
    pub(crate) fn has_room(&self) {
        self.wants_room.store(false, Ordering::SeqCst);
    }

    /// Waits for a hint, `at_most` so long.
    ///
    /// Cancel safety: a hint that has come and was not waited for is kept.
    pub(crate) async fn wait(&self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.hint.notified()).await;
    }
}
