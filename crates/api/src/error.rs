//! What the API answers when it does not do what was asked: FastAPI's shapes, since A's clients expect them.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpResponse, ResponseError};
use reprise_core::delivery::{DeliveryStatus, ReplayRefusal};
use reprise_core::scope::Scope;
use reprise_core::signing::RotationRefusal;
use reprise_core::store::{ConnectionFault, DieselError, StoreError};
use serde::Serialize;
use thiserror::Error;
use tracing::error;
use utoipa::ToSchema;

use crate::faults::{Fault, Faults, name};

/// Seconds after which a client may try again when PostgreSQL is away or too much is under way.
const RETRY_AFTER_SECONDS: u32 = 2;

/// A request that was not done.
#[derive(Debug, Error)]
pub enum ApiError {
    /// The request's body or query has faults.
    #[error("The request has faults")]
    Invalid(Faults),
    /// No credentials, or bad ones.
    #[error("Not authenticated")]
    NotAuthenticated,
    /// Good credentials without this scope.
    #[error("The credential lacks the scope {0}")]
    MissingScope(Scope),
    /// Unknown, malformed, or another tenant's id; they can't be told apart.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// No such path.
    #[error("Not Found")]
    UnknownPath,
    /// The path does not know the method; holds those that it knows.
    #[error("Method Not Allowed")]
    MethodNotAllowed(String),
    /// The body is longer than its limit in bytes.
    #[error("The body is larger than {0} bytes")]
    BodyTooLarge(usize),
    /// The body was cut off or its encoding is broken.
    #[error("The body could not be read")]
    BodyUnreadable,
    /// The body did not come in time.
    #[error("The body took too long to come")]
    BodyTooSlow,
    /// Too many bodies are held already.
    #[error("Too many request bodies are being worked on; try again")]
    NoRoomForBody,
    /// The body is not plain JSON by its content type and encoding.
    #[error("The body must be application/json, not encoded")]
    UnsupportedMediaType,
    /// The replay rules forbid it.
    #[error(transparent)]
    ReplayRefused(#[from] ReplayRefusal),
    /// The endpoint is deleted and can't be changed.
    #[error("The endpoint is deleted")]
    EndpointDeleted,
    /// The tenant has as many endpoints as it may have.
    #[error("A tenant has at most {0} endpoints")]
    TooManyEndpoints(i64),
    /// The user has as many API keys as they may have.
    #[error("A user has at most {0} API keys; revoke one first")]
    TooManyApiKeys(i64),
    /// A batch with more deliveries than one commit may hold.
    #[error("The batch would make more than {0} deliveries; send fewer events at a time")]
    TooManyDeliveries(usize),
    /// The delivery is being sent, or has ended.
    #[error("The delivery is {0} and can't be canceled")]
    NotCancelable(DeliveryStatus),
    /// Too many requests of a credential, or too many wrong passwords; holds how long to wait.
    #[error("Too many requests")]
    RateLimited(Duration),
    /// Too many logins wait for their turn.
    #[error("Too many logins at once; try again")]
    TooManyLogins,
    /// Too many calls of the tenant wait for redeliveries.
    #[error("Too many calls are waiting for redeliveries already")]
    TooManyWaiting,
    /// The `Idempotency-Key` is malformed.
    #[error("Idempotency-Key must be 1 to 255 visible ASCII characters")]
    BadIdempotencyKey,
    /// The `Idempotency-Key` was used with another body.
    #[error("The Idempotency-Key was used with another request body")]
    IdempotencyConflict,
    /// PostgreSQL is away or can't commit; try again.
    #[error("The service can't reach its database now; try again")]
    Unavailable(String),
    /// A mistake of ours; logged when it is answered, never shown.
    #[error("Internal Server Error")]
    Internal(String),
}

/// The body of every error but 422.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// For people.
    pub detail: String,
    /// A stable word for programs.
    pub code: String,
}

/// The body of 422, as FastAPI writes it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "HTTPValidationError", as = HTTPValidationError)]
pub struct ValidationBody {
    /// Every fault, not only the first.
    #[schema(required = false)]
    pub detail: Vec<Fault>,
}

impl ApiError {
    /// The response.
    pub fn answer(&self) -> HttpResponse {
        self.error_response()
    }

    /// The stable word for programs.
    pub fn code(&self) -> &'static str {
        self.kind().1
    }

    /// The status, and the stable word for programs.
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "validation_error"),
            Self::NotAuthenticated => (StatusCode::UNAUTHORIZED, "not_authenticated"),
            Self::MissingScope(_) => (StatusCode::FORBIDDEN, "insufficient_scope"),
            Self::NotFound(_) | Self::UnknownPath => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::BodyTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BodyUnreadable => (StatusCode::BAD_REQUEST, "body_unreadable"),
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "body_too_slow"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            Self::ReplayRefused(refusal) => match refusal {
                ReplayRefusal::NotFinished => (StatusCode::CONFLICT, "delivery_not_finished"),
                ReplayRefusal::EndpointDisabled => (StatusCode::CONFLICT, "endpoint_disabled"),
                ReplayRefusal::PayloadExpired => (StatusCode::GONE, "payload_expired"),
            },
            Self::EndpointDeleted => (StatusCode::CONFLICT, "endpoint_deleted"),
            Self::TooManyEndpoints(_) => (StatusCode::CONFLICT, "too_many_endpoints"),
            Self::TooManyApiKeys(_) => (StatusCode::CONFLICT, "too_many_api_keys"),
            Self::TooManyDeliveries(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_deliveries"),
            Self::NotCancelable(_) => (StatusCode::CONFLICT, "delivery_not_cancelable"),
            Self::RateLimited(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Self::TooManyLogins => (StatusCode::SERVICE_UNAVAILABLE, "too_many_logins"),
            Self::TooManyWaiting => (StatusCode::TOO_MANY_REQUESTS, "too_many_waiting"),
            Self::BadIdempotencyKey => (StatusCode::BAD_REQUEST, "bad_idempotency_key"),
            Self::IdempotencyConflict => (StatusCode::CONFLICT, "idempotency_key_reused"),
            Self::NoRoomForBody | Self::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        }
    }

    /// The header that a status asks for.
    fn header(&self) -> Option<(HeaderName, String)> {
        if let Self::MissingScope(scope) = self {
            // RFC 6750 section 3.1.
            let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
            return Some((header::WWW_AUTHENTICATE, challenge));
        }
        if let Self::MethodNotAllowed(allowed) = self {
            return Some((header::ALLOW, allowed.clone()));
        }
        if let Self::RateLimited(wait) = self {
            // In whole seconds (RFC 9110 section 10.2.3), rounded up.
            let seconds = wait.as_secs().saturating_add(1);
            return Some((header::RETRY_AFTER, seconds.to_string()));
        }
        let (status, _) = self.kind();
        match status {
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer".to_owned())),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                Some((header::RETRY_AFTER, RETRY_AFTER_SECONDS.to_string()))
            }
            _ => None,
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.kind().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, code) = self.kind();
        let mut response = HttpResponse::build(status);
        if let Some(header) = self.header() {
            response.insert_header(header);
        }
        if let Self::Invalid(faults) = self {
            return response.json(ValidationBody {
                detail: faults.list(),
            });
        }
        if let Self::Unavailable(cause) | Self::Internal(cause) = self {
            error!(cause, code, "Request failed: {self}");
        }
        response.json(ErrorBody {
            detail: self.to_string(),
            code: code.to_owned(),
        })
    }
}

impl From<Faults> for ApiError {
    fn from(faults: Faults) -> Self {
        Self::Invalid(faults)
    }
}

impl From<RotationRefusal> for ApiError {
    fn from(refusal: RotationRefusal) -> Self {
        match refusal {
            RotationRefusal::SameSecret => {
                let loc = vec![name("body"), name("secret")];
                Faults::one(loc, "value_error", format!("Value error, {refusal}")).into()
            }
        }
    }
}

impl From<DieselError> for ApiError {
    fn from(error: DieselError) -> Self {
        StoreError::from(error).into()
    }
}

impl ConnectionFault for ApiError {
    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) | StoreError::Refused(cause) => Self::Unavailable(cause),
            StoreError::Taken(_) | StoreError::Corrupt(_) | StoreError::Failed(_) => {
                Self::Internal(format!("{:#}", anyhow::Error::new(error)))
            }
        }
    }
}
