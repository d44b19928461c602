//! `GET /metrics`: what the API counts, in `OpenMetrics` text. Every name stands here.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

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
        Self {
            registry,
            requests,
            duration,
            events,
            deliveries,
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
    let mut text = String::new();
    encode(&mut text, &state.metrics.registry)
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(text))
}
