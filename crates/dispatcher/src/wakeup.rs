//! Waking the claimer: hints that something may be claimable now. Without hints it looks at the poll interval.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reprise_core::ready_hint::ReadyHint;
use tokio::sync::Notify;

/// What the claimer waits for. Any number of hints while it works are one when it looks.
#[derive(Debug, Default)]
pub(crate) struct Wakeup {
    bell: Notify,
    /// Where something may have become ready.
    ready: Mutex<ReadyHint>,
    /// Something may have become ready that was made long ago.
    is_return_hinted: AtomicBool,
    /// Something may have become ready that somebody waits for.
    is_express_hinted: AtomicBool,
    wants_room: AtomicBool,
}

impl Wakeup {
    /// Deliveries may have become ready there.
    pub(crate) fn hint_ready(&self, hint: &ReadyHint) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.merge(hint);
        drop(ready);
        self.bell.notify_one();
    }

    /// Deliveries may have become ready again: retries, or what was given back.
    pub(crate) fn hint_returned(&self) {
        self.is_return_hinted.store(true, Ordering::SeqCst);
        self.hint_ready(&ReadyHint::Anywhere);
    }

    /// Deliveries may have become ready that somebody waits for.
    pub(crate) fn hint_express(&self) {
        self.is_express_hinted.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }

    /// Anything may have become ready.
    pub(crate) fn hint_all(&self) {
        self.is_express_hinted.store(true, Ordering::SeqCst);
        self.hint_returned();
    }

    /// What is known to be ready may be claimable now.
    pub(crate) fn nudge(&self) {
        self.bell.notify_one();
    }

    /// Where deliveries may have become ready since this was asked last.
    pub(crate) fn take_ready_hint(&self) -> ReadyHint {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *ready)
    }

    /// Whether deliveries may have become ready that were made long ago.
    pub(crate) fn take_return_hint(&self) -> bool {
        self.is_return_hinted.swap(false, Ordering::SeqCst)
    }

    /// The same for those that somebody waits for.
    pub(crate) fn take_express_hint(&self) -> bool {
        self.is_express_hinted.swap(false, Ordering::SeqCst)
    }

    /// A permit or bytes were given back. Only a claimer that waits for that is woken: else every recorded batch would
    /// cost a claim that finds nothing.
    pub(crate) fn room_freed(&self) {
        if self.wants_room.swap(false, Ordering::SeqCst) {
            self.nudge();
        }
    }

    /// The claimer has no room. To be called before looking how much there is, so that none is freed unseen between
    /// the look and the wait.
    pub(crate) fn want_room(&self) {
        self.wants_room.store(true, Ordering::SeqCst);
    }

    /// Whether the claimer waits for room.
    pub(crate) fn is_room_wanted(&self) -> bool {
        self.wants_room.load(Ordering::SeqCst)
    }

    /// The claimer has found room after all.
    pub(crate) fn has_room(&self) {
        self.wants_room.store(false, Ordering::SeqCst);
    }

    /// Waits for the next hint, `at_most` so long. That time has passed hints at nothing: whoever waits knows for what.
    ///
    /// Cancel safety: a hint that has come and was not waited for is kept.
    pub(crate) async fn wait(&self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.bell.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_in_vain_hints_at_nothing() {
        let wakeup = Wakeup::default();
        wakeup.wait(Duration::from_secs(1)).await;
        assert_eq!(wakeup.take_ready_hint(), ReadyHint::default());
        assert!(!wakeup.take_return_hint());
        assert!(!wakeup.take_express_hint());
    }
}
