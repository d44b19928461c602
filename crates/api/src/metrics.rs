//! `GET /metrics`: what the API counts, in `OpenMetrics` text. Every name stands here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use reprise_core::store::pool::PoolUse;

use crate::error::ApiError;
use crate::state::AppState;

/// Upper bounds of the duration buckets in seconds: from a read out of memory to a redelivery that waits its 30 s.
const DURATION_BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 31.0,
];

/// A kind of request. Few values: the route is its pattern, never the path.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

/// What the API counts.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    duration: Family<RouteLabels, Histogram, fn() -> Histogram>,
    events: Counter,
    deliveries: Counter,
    refused_connections: Counter,
    ingest: IngestMetrics,
    pool: PoolMetrics,
}

/// What the shared commits of publishing count.
#[derive(Clone, Debug)]
pub struct IngestMetrics {
    batch_size: Histogram,
    commit_seconds: Histogram,
}

impl IngestMetrics {
    /// Counts a commit of so many calls' events, which may have failed.
    pub fn note_commit(&self, calls: usize, took: Duration) {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        self.batch_size.observe(f64::from(calls));
        self.commit_seconds.observe(took.as_secs_f64());
    }

    fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            batch_size: Histogram::new(exponential_buckets(1.0, 2.0, 9)),
            commit_seconds: duration_histogram(),
        };
        registry.register(
            "ingest_batch_size",
            "Publish calls per shared commit",
            metrics.batch_size.clone(),
        );
        registry.register_with_unit(
            "ingest_commit",
            "A shared commit of published events, with the wait for a connection",
            Unit::Seconds,
            metrics.commit_seconds.clone(),
        );
        metrics
    }
}

/// How a connection was got.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct GotLabels {
    got: &'static str,
}

/// How the pool of connections to PostgreSQL is used.
#[derive(Clone, Debug, Default)]
struct PoolMetrics {
    connections: Gauge,
    idle: Gauge,
    gets: Family<GotLabels, Counter>,
    wait_seconds: Counter<f64, AtomicU64>,
}

impl PoolMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "pool_connections",
            "Connections to PostgreSQL in the pool",
            metrics.connections.clone(),
        );
        registry.register(
            "pool_idle_connections",
            "Of these, connections that nobody has",
            metrics.idle.clone(),
        );
        registry.register(
            "pool_gets",
            "Calls for a connection, by how it was got: at_once, after_waiting, never",
            metrics.gets.clone(),
        );
        registry.register(
            "pool_wait_seconds",
            "Time that calls have waited for a connection",
            metrics.wait_seconds.clone(),
        );
        metrics
    }

    fn set(&self, pool: &PoolUse) {
        self.connections.set(pool.connections.into());
        self.idle.set(pool.idle.into());
        for (got, count) in [
            ("at_once", pool.given_at_once),
            ("after_waiting", pool.given_after_waiting),
            ("never", pool.timed_out),
        ] {
            let counter = self.gets.get_or_create(&GotLabels { got });
            counter.inner().store(count, Ordering::Relaxed);
        }
        let waited = pool.waited.as_secs_f64().to_bits();
        self.wait_seconds.inner().store(waited, Ordering::Relaxed);
    }
}

/// A route, for durations.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

fn duration_histogram() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("reprise_api");
        let requests = Family::default();
        let duration = Family::new_with_constructor(duration_histogram as fn() -> Histogram);
        let (events, deliveries) = (Counter::default(), Counter::default());
        registry.register(
            "requests",
            "Requests answered, by method, route and status",
            requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time until a request was answered, by route",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register("events_published", "Events stored", events.clone());
        registry.register(
            "deliveries_created",
            "Deliveries stored with events",
            deliveries.clone(),
        );
        let refused_connections = Counter::default();
        registry.register(
            "connections_refused",
            "Connections closed at once, since their address had all of its own",
            refused_connections.clone(),
        );
        let ingest = IngestMetrics::register(&mut registry);
        let pool = PoolMetrics::register(&mut registry);
        Self {
            ingest,
            pool,
            registry,
            requests,
            duration,
            events,
            deliveries,
            refused_connections,
        }
    }
}

impl Metrics {
    /// Counts an answered request. `route` is the pattern that matched, or `None`.
    pub fn note_request(
        &self,
        method: &str,
        route: Option<String>,
        status: u16,
        duration: Duration,
    ) {
        let route = route.unwrap_or_else(|| "unknown".to_owned());
        // Methods are the caller's to invent; labels are not.
        let method = match method {
            "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS" => method,
            _ => "other",
        };
        self.duration
            .get_or_create(&RouteLabels {
                route: route.clone(),
            })
            .observe(duration.as_secs_f64());
        self.requests
            .get_or_create(&RequestLabels {
                method: method.to_owned(),
                route,
                status,
            })
            .inc();
    }

    /// What the shared commits count in.
    #[must_use]
    pub fn ingest(&self) -> IngestMetrics {
        self.ingest.clone()
    }

    /// What connections that are refused count in.
    #[must_use]
    pub fn refused_connections(&self) -> Counter {
        self.refused_connections.clone()
    }

    /// Counts a published event.
    pub fn note_event(&self, delivery_count: usize) {
        self.events.inc();
        self.deliveries
            .inc_by(u64::try_from(delivery_count).unwrap_or(u64::MAX));
    }
}

/// Answers with all counters.
#[utoipa::path(get, path = "/metrics", tag = "operations", operation_id = "metrics", security(()),
    responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
pub async fn show(state: Data<AppState>) -> Result<HttpResponse, ApiError> {
    state.metrics.pool.set(&state.database.pool_use());
    let mut text = String::new();
    encode(&mut text, &state.metrics.registry)
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(text))
}
