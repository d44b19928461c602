//! All metrics of this program, by name. What they mean stands in `docs/metrics.md`.

mod instruments;
mod snapshot;

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use reprise_core::attempt_outcome::{ErrorKind, FailureKind};
use reprise_core::retry::Decision;
use reprise_core::store::delivery_queue::Claim;
use reprise_core::store::recording::FinishedAttempt;
use time::OffsetDateTime;

pub(crate) use instruments::Count;
use instruments::{BatchSizes, Seconds};
pub(crate) use snapshot::Snapshot;
use snapshot::SnapshotGauges;

/// The outcome that is no failure.
const DELIVERED: &str = "delivered";

/// What an attempt or a delivery came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// What became of a circuit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChangeLabels {
    change: &'static str,
}

/// What became of a circuit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CircuitChange {
    Opened,
    Reopened,
    Closing,
}

/// The metrics of one dispatcher.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    attempts: Family<OutcomeLabels, Counter>,
    deliveries: Family<OutcomeLabels, Counter>,
    queue_wait_seconds: Seconds,
    pub(crate) claim_seconds: Seconds,
    pub(crate) start_wait_seconds: Seconds,
    attempt_seconds: Seconds,
    pub(crate) record_wait_seconds: Seconds,
    pub(crate) record_seconds: Seconds,
    claim_batch: BatchSizes,
    pub(crate) record_batch: BatchSizes,
    pub(crate) lost: Count,
    pub(crate) leases_of_silent: Count,
    pub(crate) fenced: Count,
    pub(crate) given_back: Count,
    circuit_changes: Family<ChangeLabels, Counter>,
    snapshot: SnapshotGauges,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("reprise"),
            attempts: Family::default(),
            deliveries: Family::default(),
            queue_wait_seconds: Seconds::long(),
            claim_seconds: Seconds::short(),
            start_wait_seconds: Seconds::short(),
            attempt_seconds: Seconds::short(),
            record_wait_seconds: Seconds::short(),
            record_seconds: Seconds::short(),
            claim_batch: BatchSizes::up_to_1024(),
            record_batch: BatchSizes::up_to_1024(),
            lost: Count::default(),
            leases_of_silent: Count::default(),
            fenced: Count::default(),
            given_back: Count::default(),
            circuit_changes: Family::default(),
            snapshot: SnapshotGauges::default(),
        };
        metrics.register_outcomes();
        metrics.register_durations();
        metrics.register_sizes();
        metrics.register_leases();
        metrics.snapshot.register(&mut metrics.registry);
        metrics.begin_at_zero();
        metrics
    }

    /// Makes every counter there is, so that a first one can be told from none: rates and alerts need the zero before.
    fn begin_at_zero(&self) {
        let kinds = FailureKind::ALL.into_iter().map(ErrorKind::Failure);
        // What is lost is counted by whoever takes it over.
        let kinds = kinds.filter(|kind| *kind != ErrorKind::Failure(FailureKind::Lost));
        let kinds = kinds.chain([ErrorKind::HttpStatus]).map(ErrorKind::as_str);
        for outcome in kinds.chain([DELIVERED]) {
            let _ = self.attempts.get_or_create(&OutcomeLabels { outcome });
        }
        for outcome in [DELIVERED, "retrying", "failed"] {
            let _ = self.deliveries.get_or_create(&OutcomeLabels { outcome });
        }
        for change in ["opened", "reopened", "closing", "closed"] {
            let _ = self.circuit_changes.get_or_create(&ChangeLabels { change });
        }
    }

    fn register_outcomes(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "attempts",
            "Attempts by outcome: delivered, or why not",
            self.attempts.clone(),
        );
        registry.register(
            "deliveries",
            "Recorded attempts by what their deliveries became: delivered, retrying, failed",
            self.deliveries.clone(),
        );
        registry.register(
            "circuit_changes",
            "Circuits that this dispatcher opened, opened again, began to close, and closed",
            self.circuit_changes.clone(),
        );
    }

    fn register_durations(&mut self) {
        let registry = &mut self.registry;
        for (name, help, seconds) in [
            (
                "queue_wait_seconds",
                "From when a delivery became ready until it was claimed",
                &self.queue_wait_seconds,
            ),
            (
                "claim_seconds",
                "A claim that found any, with the loading of its payloads",
                &self.claim_seconds,
            ),
            (
                "start_wait_seconds",
                "From the claim until the attempt began, a place at the endpoint awaited",
                &self.start_wait_seconds,
            ),
            (
                "attempt_seconds",
                "From sending to the end of the response",
                &self.attempt_seconds,
            ),
            (
                "record_wait_seconds",
                "From the end of the response until it was recorded",
                &self.record_wait_seconds,
            ),
            (
                "record_seconds",
                "A transaction that records",
                &self.record_seconds,
            ),
        ] {
            registry.register(name, help, seconds.histogram());
        }
    }

    fn register_sizes(&mut self) {
        let registry = &mut self.registry;
        for (name, help, sizes) in [
            (
                "claim_batch_size",
                "Deliveries per claim that found any",
                &self.claim_batch,
            ),
            (
                "record_batch_size",
                "Results per transaction",
                &self.record_batch,
            ),
        ] {
            registry.register(name, help, sizes.histogram());
        }
    }

    fn register_leases(&mut self) {
        let registry = &mut self.registry;
        for (name, help, count) in [
            (
                "lost_attempts_taken_over",
                "Expired leases taken over by this dispatcher",
                &self.lost,
            ),
            (
                "leases_of_silent_freed",
                "Leases of silent peers freed by this dispatcher",
                &self.leases_of_silent,
            ),
            (
                "fenced_results",
                "Results dropped because their lease had ended",
                &self.fenced,
            ),
            (
                "leases_given_back",
                "Leases given back without an attempt",
                &self.given_back,
            ),
        ] {
            registry.register(name, help, count.counter());
        }
    }

    /// Counts an attempt by its outcome.
    pub(crate) fn attempt_ended(&self, finished: &FinishedAttempt) {
        let error = finished.attempt.error.as_ref();
        let outcome = error.map_or(DELIVERED, |error| error.kind.as_str());
        self.attempts
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
        let duration = finished.attempt.duration.unwrap_or(Duration::ZERO);
        self.attempt_seconds.observe(duration);
    }

    /// Counts a claim, and how long its deliveries have waited for it.
    pub(crate) fn claimed(&self, claims: &[Claim]) {
        self.claim_batch.observe_count(claims.len());
        let now = OffsetDateTime::now_utc();
        for claim in claims {
            // By another machine's clock perhaps, which may be ahead.
            let waited = Duration::try_from(now - claim.ready_since());
            let waited = waited.unwrap_or(Duration::ZERO);
            self.queue_wait_seconds.observe(waited);
        }
    }

    /// Counts what deliveries have become.
    pub(crate) fn recorded<'a>(&self, finished: impl Iterator<Item = &'a FinishedAttempt>) {
        for one in finished {
            let outcome = match one.decision {
                Decision::Delivered => DELIVERED,
                Decision::Retry { .. } => "retrying",
                Decision::Failed { .. } => "failed",
            };
            self.deliveries
                .get_or_create(&OutcomeLabels { outcome })
                .inc();
        }
    }

    /// Counts a change of a circuit.
    pub(crate) fn circuit_changed(&self, change: CircuitChange) {
        let change = match change {
            CircuitChange::Opened => "opened",
            CircuitChange::Reopened => "reopened",
            CircuitChange::Closing => "closing",
        };
        self.circuit_changes
            .get_or_create(&ChangeLabels { change })
            .inc();
    }

    /// Counts circuits that were closed.
    pub(crate) fn circuits_closed(&self, count: usize) {
        let closed = self
            .circuit_changes
            .get_or_create(&ChangeLabels { change: "closed" });
        closed.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// All metrics, as Prometheus reads them.
    pub(crate) fn encode(&self, now: &Snapshot) -> Result<String, std::fmt::Error> {
        self.snapshot.set(now);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
