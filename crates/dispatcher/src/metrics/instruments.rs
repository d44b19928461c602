//! Counters and histograms of what this program counts: things in memory, durations, sizes of batches.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Seconds that a delivery may wait in the queue: from at once to a day.
const LONG: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0,
    86_400.0,
];

/// A counter that counts things in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count(Counter);

impl Count {
    pub(crate) fn add(&self, count: usize) {
        self.0.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(super) fn counter(&self) -> Counter {
        self.0.clone()
    }
}

/// A histogram of batch sizes.
#[derive(Clone, Debug)]
pub(crate) struct BatchSizes(Histogram);

impl BatchSizes {
    pub(super) fn up_to_1024() -> Self {
        Self(Histogram::new(exponential_buckets(1.0, 2.0, 11)))
    }

    pub(crate) fn observe_count(&self, count: usize) {
        self.0
            .observe(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    }

    pub(super) fn histogram(&self) -> Histogram {
        self.0.clone()
    }
}

/// A histogram of durations.
#[derive(Clone, Debug)]
pub(crate) struct Seconds(Histogram);

impl Seconds {
    /// From a millisecond to 65 seconds: an endpoint's timeout is at most 60.
    pub(super) fn short() -> Self {
        Self(Histogram::new(exponential_buckets(0.001, 2.0, 17)))
    }

    /// Up to a day.
    pub(super) fn long() -> Self {
        Self(Histogram::new(LONG))
    }

    pub(crate) fn observe(&self, duration: Duration) {
        self.0.observe(duration.as_secs_f64());
    }

    pub(super) fn histogram(&self) -> Histogram {
        self.0.clone()
    }
}
