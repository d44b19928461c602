//! When events came, and whether all did.

use std::time::Duration;

use crate::{
    clock::between,
    sink::{Lane, Verdict},
    stage::Stage,
};

/// The arrival of some events.
#[derive(Clone, Debug, Default)]
pub struct Delivered {
    /// When the last came.
    pub last_ns: u64,
    /// From publishing to receipt, of each delivery.
    pub latencies: Vec<Duration>,
    /// Whether all came, once each.
    pub verdict: Verdict,
}

impl Delivered {
    /// The arrival of events at all endpoints.
    pub fn to_all(stage: &Stage, sequences: &[u64]) -> Self {
        let mut all = Self::default();
        for lane in stage.sink.lanes() {
            all.add(lane, sequences);
        }
        all
    }

    /// The arrival of events at one endpoint.
    pub fn to_one(lane: &Lane, sequences: &[u64]) -> Self {
        let mut one = Self::default();
        one.add(lane, sequences);
        one
    }

    /// From a time to the last arrival.
    pub fn since(&self, began_ns: u64) -> Duration {
        between(began_ns, self.last_ns)
    }

    fn add(&mut self, lane: &Lane, sequences: &[u64]) {
        for receipt in lane.receipts(sequences) {
            self.last_ns = self.last_ns.max(receipt.first_ns);
            self.latencies
                .push(between(receipt.published_ns, receipt.first_ns));
        }
        let verdict = lane.judge(sequences);
        self.verdict.lost += verdict.lost;
        self.verdict.doubled += verdict.doubled;
    }
}
