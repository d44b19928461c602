//! When events came.

use std::time::Duration;

use crate::{clock::between, sink::Receipt};

/// The arrival of some events.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When the last came.
    pub last_ns: u64,
    /// From publishing to receipt, of each.
    pub latencies: Vec<Duration>,
}

impl Arrival {
    /// Of events that came.
    pub fn of(receipts: &[Receipt]) -> Self {
        let firsts = receipts.iter().map(|receipt| receipt.first_ns);
        let latencies = receipts.iter();
        let latencies = latencies.map(|one| between(one.published_ns, one.first_ns));
        Self {
            last_ns: firsts.max().unwrap_or(0),
            latencies: latencies.collect(),
        }
    }

    /// From a time to the last arrival.
    pub fn since(&self, began_ns: u64) -> Duration {
        between(began_ns, self.last_ns)
    }
}
