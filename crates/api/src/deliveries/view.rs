//! Deliveries and attempts as A's family shows them.

use std::collections::BTreeMap;

use reprise_core::attempt::Attempt;
use reprise_core::attempt_outcome::ErrorKind;
use reprise_core::delivery::Delivery;
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::optional_words;
use crate::timestamp::Timestamp;

/// A delivery: A's schema of this name, with `attempt_count` besides.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "WebhookDeliveryResponse")]
pub struct WebhookDeliveryResponse {
    id: String,
    endpoint_id: String,
    user_id: i64,
    event_id: Option<String>,
    event_type: String,
    event_group: Option<String>,
    status: &'static str,
    scheduled_attempt: u32,
    #[schema(required = false)]
    attempt_count: u32,
    #[schema(value_type = Option<String>, format = DateTime)]
    next_retry_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_attempt_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    delivered_at: Option<Timestamp>,
    final_http_status: Option<u16>,
    error_message: Option<String>,
    replay_of_delivery_id: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// A page of deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryList {
    /// Newest first.
    pub items: Vec<WebhookDeliveryResponse>,
    /// Leads to the next page, also where this one is short or empty; null on the last one.
    pub next_cursor: Option<String>,
}

/// An attempt that has ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttemptResponse {
    id: String,
    /// Counted from 1.
    number: u32,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// Until the response had been read, or the attempt had failed.
    duration_ms: Option<u64>,
    request_headers: BTreeMap<String, String>,
    response_status: Option<u16>,
    response_headers: Option<BTreeMap<String, String>>,
    /// At most its first 16 KiB; bytes that are no UTF-8 are replaced.
    response_body: Option<String>,
    response_body_truncated: bool,
    /// Null on success, else a stable word; `lost` where a dispatcher died over it.
    #[schema(schema_with = optional_words::<ErrorKind>, required = false)]
    error_kind: Option<String>,
    error_message: Option<String>,
    remote_ip: Option<String>,
}

/// The attempts of a delivery.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttemptList {
    /// The first one first.
    pub items: Vec<AttemptResponse>,
}

impl From<&Delivery> for WebhookDeliveryResponse {
    fn from(delivery: &Delivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            endpoint_id: delivery.endpoint_id.to_string(),
            user_id: delivery.owner.0,
            event_id: Some(delivery.event_id.to_string()),
            event_type: delivery.event_type.to_string(),
            event_group: delivery.event_group.as_ref().map(ToString::to_string),
            status: delivery.status.as_str(),
            scheduled_attempt: delivery.scheduled_attempt(),
            attempt_count: delivery.attempt_count,
            next_retry_at: delivery.next_retry_at.map(Timestamp),
            last_attempt_at: delivery.last_attempt_at.map(Timestamp),
            delivered_at: delivery.delivered_at.map(Timestamp),
            final_http_status: delivery.final_http_status,
            error_message: delivery.error_message.clone(),
            replay_of_delivery_id: delivery.replay_of.map(|id| id.to_string()),
            created_at: Timestamp(delivery.created_at),
            updated_at: Timestamp(delivery.updated_at),
        }
    }
}

fn by_name(headers: &[(String, String)]) -> BTreeMap<String, String> {
    headers.iter().cloned().collect()
}

impl From<&Attempt> for AttemptResponse {
    fn from(attempt: &Attempt) -> Self {
        let response = attempt.response.as_ref();
        Self {
            id: attempt.id.to_string(),
            number: attempt.number,
            started_at: Timestamp(attempt.started_at),
            duration_ms: attempt.duration_ms(),
            request_headers: by_name(&attempt.request_headers),
            response_status: response.map(|response| response.status),
            response_headers: response.map(|response| by_name(&response.headers)),
            response_body: response
                .map(|response| String::from_utf8_lossy(&response.body).into_owned()),
            response_body_truncated: response.is_some_and(|response| response.body_truncated),
            error_kind: attempt.error.as_ref().map(|error| error.kind.to_string()),
            error_message: attempt.error.as_ref().map(|error| error.message.clone()),
            remote_ip: attempt.remote_ip.map(|ip| ip.to_string()),
        }
    }
}
