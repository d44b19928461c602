//! All metrics of this program, by name.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter as RawCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use reprise_core::store::delivery_queue::QueueDepth;
use reprise_core::store::recording::FinishedAttempt;

/// What an attempt came to: `delivered`, or an error kind of the contract.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    outcome: String,
}

/// The metrics of one dispatcher.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    attempts: Family<AttemptLabels, RawCounter>,
    attempt_seconds: Histogram,
    in_flight: Gauge,
    free_permits: Gauge,
    pub(crate) claim_batch: BatchSizes,
    pub(crate) record_batch: BatchSizes,
    pub(crate) lost: Count,
    pub(crate) leases_of_silent: Count,
    pub(crate) fenced: Count,
    queue_ready: Gauge,
    queue_waiting: Gauge,
}

/// A counter that counts things in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count(RawCounter);

impl Count {
    pub(crate) fn add(&self, count: usize) {
        self.0.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// A histogram of batch sizes.
#[derive(Clone, Debug)]
pub(crate) struct BatchSizes(Histogram);

impl BatchSizes {
    pub(crate) fn observe_count(&self, count: usize) {
        self.0
            .observe(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    }
}

/// What is only known when somebody asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    pub(crate) in_flight: usize,
    pub(crate) free_permits: usize,
    /// `None` while PostgreSQL can't be asked.
    pub(crate) queue: Option<QueueDepth>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("reprise"),
            attempts: Family::default(),
            // 1 ms to 65 s: an endpoint's timeout is at most 60 s.
            attempt_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 17)),
            in_flight: Gauge::default(),
            free_permits: Gauge::default(),
            claim_batch: BatchSizes(Histogram::new(exponential_buckets(1.0, 2.0, 11))),
            record_batch: BatchSizes(Histogram::new(exponential_buckets(1.0, 2.0, 9))),
            lost: Count::default(),
            leases_of_silent: Count::default(),
            fenced: Count::default(),
            queue_ready: Gauge::default(),
            queue_waiting: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("attempts", "Attempts by outcome", self.attempts.clone());
        registry.register(
            "attempt_seconds",
            "From sending to the end of the response",
            self.attempt_seconds.clone(),
        );
        registry.register(
            "in_flight",
            "Deliveries claimed and not yet recorded",
            self.in_flight.clone(),
        );
        registry.register(
            "free_permits",
            "Deliveries that could be in flight besides",
            self.free_permits.clone(),
        );
        registry.register(
            "claim_batch_size",
            "Deliveries per claim that found any",
            self.claim_batch.0.clone(),
        );
        registry.register(
            "record_batch_size",
            "Results per transaction",
            self.record_batch.0.clone(),
        );
        registry.register(
            "lost_attempts_taken_over",
            "Expired leases taken over by this dispatcher",
            self.lost.0.clone(),
        );
        registry.register(
            "leases_of_silent_freed",
            "Leases of silent peers freed by this dispatcher",
            self.leases_of_silent.0.clone(),
        );
        registry.register(
            "fenced_results",
            "Results dropped because their lease had ended",
            self.fenced.0.clone(),
        );
        registry.register(
            "queue_ready",
            "Deliveries ready to be claimed, up to 100000",
            self.queue_ready.clone(),
        );
        registry.register(
            "queue_waiting",
            "Retries and leases, up to 100000",
            self.queue_waiting.clone(),
        );
    }

    /// Counts an attempt by its outcome.
    pub(crate) fn attempt_ended(&self, finished: &FinishedAttempt) {
        let error = finished.attempt.error.as_ref();
        let outcome = error
            .map_or("delivered", |error| error.kind.as_str())
            .to_owned();
        self.attempts
            .get_or_create(&AttemptLabels { outcome })
            .inc();
        let duration = finished.attempt.duration.unwrap_or(Duration::ZERO);
        self.attempt_seconds.observe(duration.as_secs_f64());
    }

    /// All metrics, as Prometheus reads them.
    pub(crate) fn encode(&self, now: Snapshot) -> Result<String, std::fmt::Error> {
        self.in_flight.set(gauge(now.in_flight));
        self.free_permits.set(gauge(now.free_permits));
        if let Some(queue) = now.queue {
            self.queue_ready.set(queue.ready);
            self.queue_waiting.set(queue.waiting);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
