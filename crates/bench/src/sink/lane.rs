//! One path of the sink: how it behaves, and what came to it.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::ledger::{Ledger, Receipt, Verdict};
use crate::stamp::Stamp;

/// What a receiver does with a request, after it has been noted.
#[derive(Clone, Copy, Debug)]
pub enum Behaviour {
    /// Answers 200 at once.
    Answer,
    /// Answers 200 after a while.
    AnswerAfter(Duration),
    /// Never answers.
    Hang,
    /// Answers 500 at once.
    Fail,
}

/// What a lane waits for.
#[derive(Clone, Copy, Debug)]
pub struct Missing {
    /// How many of the events asked for have not come.
    pub count: usize,
    /// How many events of all have come, at the same time.
    pub arrived: usize,
}

/// One path of the sink.
#[derive(Debug)]
pub struct Lane {
    behaviour: Behaviour,
    ledger: Mutex<Ledger>,
    waiting: AtomicU64,
    peak_waiting: AtomicU64,
}

impl Lane {
    pub(super) fn new(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            ledger: Mutex::default(),
            waiting: AtomicU64::new(0),
            peak_waiting: AtomicU64::new(0),
        }
    }

    pub(super) fn behaviour(&self) -> Behaviour {
        self.behaviour
    }

    pub(super) fn record(&self, stamp: Stamp, now_ns: u64) {
        self.ledger().record(stamp, now_ns);
    }

    /// Different events that have come so far.
    pub fn arrived(&self) -> usize {
        self.ledger().arrived()
    }

    /// Which part of some events has not come yet.
    pub fn missing(&self, sequences: &[u64]) -> Missing {
        let ledger = self.ledger();
        Missing {
            count: ledger.judge(sequences).lost,
            arrived: ledger.arrived(),
        }
    }

    /// What came of some events, in their order; of those that did not come nothing.
    pub fn receipts(&self, sequences: &[u64]) -> Vec<Receipt> {
        let ledger = self.ledger();
        let receipts = sequences.iter().filter_map(|one| ledger.find(*one));
        receipts.copied().collect()
    }

    /// Whether some events came once each.
    pub fn judge(&self, sequences: &[u64]) -> Verdict {
        self.ledger().judge(sequences)
    }

    /// The most requests that waited for their answers at a time.
    pub fn peak_waiting(&self) -> u64 {
        self.peak_waiting.load(Ordering::Relaxed)
    }

    /// Counts a request as waiting until the guard is dropped.
    pub(super) fn wait(&self) -> Waiting<'_> {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak_waiting.fetch_max(waiting, Ordering::Relaxed);
        Waiting(self)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a Lane);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
