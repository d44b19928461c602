//! Which errors an operation may answer besides 422, each with the example that the API itself would give.

use std::time::Duration;

use actix_web::ResponseError;
use reprise_core::delivery::{DeliveryStatus, ReplayRefusal};
use reprise_core::store::api_keys::MAX_KEYS;
use reprise_core::store::endpoints::MAX_ENDPOINTS;
use reprise_core::store::events::MAX_DELIVERIES;
use serde_json::{Value, json};

use super::operations::Kind;
use crate::auth::login::{MAX_FORM_BYTES, Refusal};
use crate::body::MAX_BODY_BYTES;
use crate::error::ApiError;

/// An error as the document shows it.
pub(super) struct Told {
    pub(super) status: String,
    pub(super) code: &'static str,
    /// The name of its schema.
    pub(super) schema: &'static str,
    pub(super) example: Value,
}

/// The errors of an operation.
pub(super) fn of(kind: &Kind) -> Vec<Told> {
    if kind.id == "create_token" {
        return of_login().iter().map(tell_refusal).collect();
    }
    let parts = [
        of_credentials(kind),
        of_bodies(kind),
        of_ids(kind),
        own(&kind.id),
    ];
    parts.iter().flatten().map(tell).collect()
}

fn tell(error: &ApiError) -> Told {
    Told {
        status: error.status_code().as_str().to_owned(),
        code: error.code(),
        schema: "ErrorBody",
        example: json!({"detail": error.to_string(), "code": error.code()}),
    }
}

fn tell_refusal(refusal: &Refusal) -> Told {
    Told {
        status: refusal.status().as_str().to_owned(),
        code: refusal.code(),
        schema: "TokenError",
        example: json!(refusal.body()),
    }
}

fn of_login() -> [Refusal; 8] {
    [
        Refusal::InvalidScope,
        Refusal::WrongPassword,
        ApiError::BodyUnreadable.into(),
        ApiError::BodyTooSlow.into(),
        ApiError::BodyTooLarge(MAX_FORM_BYTES).into(),
        ApiError::RateLimited(Duration::ZERO).into(),
        ApiError::TooManyLogins.into(),
        ApiError::Unavailable(String::new()).into(),
    ]
}

fn of_credentials(kind: &Kind) -> Vec<ApiError> {
    let Some(scope) = kind.scope else {
        return Vec::new();
    };
    vec![
        ApiError::NotAuthenticated,
        ApiError::MissingScope(scope),
        ApiError::RateLimited(Duration::ZERO),
        ApiError::Unavailable(String::new()),
    ]
}

fn of_bodies(kind: &Kind) -> Vec<ApiError> {
    let mut errors = Vec::new();
    if kind.reads_body {
        errors.extend([
            ApiError::BodyUnreadable,
            ApiError::BodyTooSlow,
            ApiError::BodyTooLarge(MAX_BODY_BYTES),
        ]);
    }
    if kind.takes_json {
        errors.push(ApiError::UnsupportedMediaType);
    }
    if kind.has("Idempotency-Key") {
        errors.push(ApiError::BadIdempotencyKey);
        // Requests without a body can't differ in it.
        errors.extend(kind.takes_json.then_some(ApiError::IdempotencyConflict));
    }
    if kind.has("Prefer") {
        errors.push(ApiError::TooManyWaiting);
    }
    errors
}

/// What a path names that is not there.
fn of_ids(kind: &Kind) -> Vec<ApiError> {
    let what = |id: &String| match id.as_str() {
        "endpoint_id" => "Endpoint",
        "event_id" => "Event",
        "hook_id" => "Hook",
        "api_key_id" => "API key",
        _ => "Delivery",
    };
    kind.ids
        .last()
        .map(|id| ApiError::NotFound(what(id)))
        .into_iter()
        .collect()
}

/// What only some operations refuse.
fn own(operation_id: &str) -> Vec<ApiError> {
    use ReplayRefusal::{EndpointDisabled, NotFinished, PayloadExpired};
    match operation_id {
        "create_api_key" => vec![ApiError::TooManyApiKeys(MAX_KEYS)],
        "create_endpoint" | "create_hook" => vec![ApiError::TooManyEndpoints(MAX_ENDPOINTS)],
        "update_endpoint" | "rotate_secret" => vec![ApiError::EndpointDeleted],
        "test_endpoint" | "verify_endpoint" => vec![EndpointDisabled.into()],
        "publish_events" => vec![ApiError::TooManyDeliveries(MAX_DELIVERIES)],
        "cancel_delivery" => vec![ApiError::NotCancelable(DeliveryStatus::Delivering)],
        "replay_webhook_delivery" | "redeliver_webhook_event" => {
            vec![
                NotFinished.into(),
                EndpointDisabled.into(),
                PayloadExpired.into(),
            ]
        }
        _ => Vec::new(),
    }
}
