//! What is only known when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use reprise_core::store::pool::PoolUse;

use crate::queue_look::QueueState;

type Seconds = Gauge<f64, AtomicU64>;

/// What is told of this moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    pub(crate) in_flight: usize,
    pub(crate) free_permits: usize,
    pub(crate) pool: PoolUse,
    /// `None` if PostgreSQL could not be asked yet.
    pub(crate) queue: Option<QueueState>,
}

/// What a ready delivery waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitLabels {
    waits_for: &'static str,
}

/// The state of a circuit that is not closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

/// How a connection was got.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GotLabels {
    got: &'static str,
}

#[derive(Clone, Debug, Default)]
pub(super) struct SnapshotGauges {
    in_flight: Gauge,
    free_permits: Gauge,
    queue_ready: Gauge,
    queue_express: Gauge,
    queue_waiting: Gauge,
    queue_kept_back: Gauge,
    oldest_ready_seconds: Family<WaitLabels, Seconds>,
    queue_seen_timestamp_seconds: Gauge,
    circuits: Family<StateLabels, Gauge>,
    pool_connections: Gauge,
    pool_idle_connections: Gauge,
    pool_gets: Family<GotLabels, Counter>,
    pool_wait_seconds: Counter<f64, AtomicU64>,
}

impl SnapshotGauges {
    pub(super) fn register(&self, registry: &mut Registry) {
        self.register_own(registry);
        self.register_queue(registry);
        self.register_families(registry);
    }

    fn register_own(&self, registry: &mut Registry) {
        for (name, help, gauge) in [
            (
                "in_flight",
                "Deliveries claimed and not yet recorded",
                &self.in_flight,
            ),
            (
                "free_permits",
                "Deliveries that could be in flight besides",
                &self.free_permits,
            ),
            (
                "pool_connections",
                "Connections to PostgreSQL in the pool",
                &self.pool_connections,
            ),
            (
                "pool_idle_connections",
                "Of these, connections that nobody has",
                &self.pool_idle_connections,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
    }

    fn register_queue(&self, registry: &mut Registry) {
        for (name, help, gauge) in [
            (
                "queue_ready",
                "Deliveries ready to be claimed, counted up to 100000",
                &self.queue_ready,
            ),
            (
                "queue_express",
                "The same, which somebody waits for, counted up to 100000",
                &self.queue_express,
            ),
            (
                "queue_waiting",
                "Retries that are not due, and leases, counted up to 100000",
                &self.queue_waiting,
            ),
            (
                "queue_kept_back",
                "Deliveries of disabled endpoints, counted up to 100000",
                &self.queue_kept_back,
            ),
            (
                "queue_seen_timestamp_seconds",
                "When the queue was looked at for these numbers",
                &self.queue_seen_timestamp_seconds,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
    }

    fn register_families(&self, registry: &mut Registry) {
        registry.register(
            "oldest_ready_seconds",
            "How long the oldest ready delivery has been ready, among the first 4 of each of the first 1000 endpoints that have any",
            self.oldest_ready_seconds.clone(),
        );
        registry.register(
            "circuits",
            "Circuits that are not closed, each state counted up to 1000",
            self.circuits.clone(),
        );
        registry.register(
            "pool_gets",
            "Calls for a connection, by how it was got: at_once, after_waiting, never",
            self.pool_gets.clone(),
        );
        registry.register(
            "pool_wait_seconds",
            "Time that calls have waited for a connection",
            self.pool_wait_seconds.clone(),
        );
    }

    pub(super) fn set(&self, now: &Snapshot) {
        self.in_flight.set(whole(now.in_flight));
        self.free_permits.set(whole(now.free_permits));
        self.set_pool(&now.pool);
        if let Some(queue) = &now.queue {
            self.set_queue(queue);
        }
    }

    fn set_pool(&self, pool: &PoolUse) {
        self.pool_connections.set(pool.connections.into());
        self.pool_idle_connections.set(pool.idle.into());
        for (got, count) in [
            ("at_once", pool.given_at_once),
            ("after_waiting", pool.given_after_waiting),
            ("never", pool.timed_out),
        ] {
            let counter = self.pool_gets.get_or_create(&GotLabels { got });
            counter.inner().store(count, Ordering::Relaxed);
        }
        let waited = pool.waited.as_secs_f64().to_bits();
        self.pool_wait_seconds
            .inner()
            .store(waited, Ordering::Relaxed);
    }

    fn set_queue(&self, queue: &QueueState) {
        self.queue_ready.set(queue.depth.ready);
        self.queue_express.set(queue.depth.express);
        self.queue_waiting.set(queue.depth.waiting);
        self.queue_kept_back.set(queue.depth.kept_back);
        self.queue_seen_timestamp_seconds
            .set(queue.at.unix_timestamp());
        let age = |waits_for, age: Duration| {
            let gauge = self
                .oldest_ready_seconds
                .get_or_create(&WaitLabels { waits_for });
            gauge.set(age.as_secs_f64());
        };
        age("dispatcher", queue.oldest.free);
        age("limit", queue.oldest.limited);
        age("circuit", queue.oldest.circuit);
        for (state, count) in [
            ("open", queue.circuits.open),
            ("half_open", queue.circuits.half_open),
            ("closing", queue.circuits.closing),
        ] {
            self.circuits
                .get_or_create(&StateLabels { state })
                .set(count);
        }
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
