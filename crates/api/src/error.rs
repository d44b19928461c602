//! What the API answers when it does not do what was asked: FastAPI's shapes, since A's clients expect them.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use reprise_core::delivery::ReplayRefusal;
use reprise_core::scope::Scope;
use reprise_core::store::{DieselError, StoreError};
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use crate::faults::{Fault, Faults};

/// Seconds after which a client may try again when PostgreSQL is away.
const RETRY_AFTER_SECONDS: u32 = 2;

/// A request that was not done.
#[derive(Debug)]
pub enum ApiError {
    /// The request's body or query has faults.
    Invalid(Faults),
    /// No credentials, or bad ones.
    NotAuthenticated,
    /// Good credentials without this scope.
    MissingScope(Scope),
    /// Unknown, malformed, or another tenant's id; they can't be told apart.
    NotFound(&'static str),
    /// No such path.
    UnknownPath,
    /// The path does not know the method; holds those that it knows.
    MethodNotAllowed(String),
    /// The body is longer than its limit in bytes.
    BodyTooLarge(usize),
    /// The body was cut off or its encoding is broken.
    BodyUnreadable,
    /// The body is not JSON by its content type.
    UnsupportedMediaType,
    /// The replay rules forbid it.
    ReplayRefused(ReplayRefusal),
    /// The endpoint is deleted and can't be changed.
    EndpointDeleted,
    /// The tenant has as many endpoints as it may have.
    TooManyEndpoints(i64),
    /// Too many calls of the tenant wait for redeliveries.
    TooManyWaiting,
    /// The `Idempotency-Key` is malformed.
    BadIdempotencyKey,
    /// The `Idempotency-Key` was used with another body.
    IdempotencyConflict,
    /// PostgreSQL is away or can't commit; try again.
    Unavailable(String),
    /// A mistake of ours; logged when it is answered, never shown.
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
    fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "validation_error",
            Self::NotAuthenticated => "not_authenticated",
            Self::MissingScope(_) => "insufficient_scope",
            Self::NotFound(_) | Self::UnknownPath => "not_found",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::BodyUnreadable => "body_unreadable",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::ReplayRefused(ReplayRefusal::NotFinished) => "delivery_not_finished",
            Self::ReplayRefused(ReplayRefusal::EndpointDisabled) => "endpoint_disabled",
            Self::ReplayRefused(ReplayRefusal::PayloadExpired) => "payload_expired",
            Self::EndpointDeleted => "endpoint_deleted",
            Self::TooManyEndpoints(_) => "too_many_endpoints",
            Self::TooManyWaiting => "too_many_waiting",
            Self::BadIdempotencyKey => "bad_idempotency_key",
            Self::IdempotencyConflict => "idempotency_key_reused",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal_error",
        }
    }

    fn extra_header(&self) -> Option<(HeaderName, HeaderValue)> {
        let value = |text: &str| HeaderValue::from_str(text).ok();
        match self {
            Self::NotAuthenticated => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
            }
            // RFC 6750 section 3.1.
            Self::MissingScope(scope) => value(&format!(
                "Bearer error=\"insufficient_scope\", scope=\"{scope}\""
            ))
            .map(|value| (header::WWW_AUTHENTICATE, value)),
            Self::MethodNotAllowed(allowed) => value(allowed).map(|value| (header::ALLOW, value)),
            Self::Unavailable(_) => {
                Some((header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS)))
            }
            Self::TooManyWaiting => Some((header::RETRY_AFTER, HeaderValue::from(1))),
            Self::Invalid(_)
            | Self::NotFound(_)
            | Self::UnknownPath
            | Self::BodyTooLarge(_)
            | Self::BodyUnreadable
            | Self::UnsupportedMediaType
            | Self::ReplayRefused(_)
            | Self::EndpointDeleted
            | Self::TooManyEndpoints(_)
            | Self::BadIdempotencyKey
            | Self::IdempotencyConflict
            | Self::Internal(_) => None,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(_) => f.write_str("The request has faults"),
            Self::NotAuthenticated => f.write_str("Not authenticated"),
            Self::MissingScope(scope) => write!(f, "The credential lacks the scope {scope}"),
            Self::NotFound(what) => write!(f, "{what} not found"),
            Self::UnknownPath => f.write_str("Not Found"),
            Self::MethodNotAllowed(_) => f.write_str("Method Not Allowed"),
            Self::BodyTooLarge(limit) => write!(f, "The body is larger than {limit} bytes"),
            Self::BodyUnreadable => f.write_str("The body could not be read"),
            Self::UnsupportedMediaType => f.write_str("The body must be application/json"),
            Self::ReplayRefused(refusal) => refusal.fmt(f),
            Self::EndpointDeleted => f.write_str("The endpoint is deleted"),
            Self::TooManyEndpoints(limit) => write!(f, "A tenant has at most {limit} endpoints"),
            Self::TooManyWaiting => {
                f.write_str("Too many calls are waiting for redeliveries already")
            }
            Self::BadIdempotencyKey => {
                f.write_str("Idempotency-Key must be 1 to 255 visible ASCII characters")
            }
            Self::IdempotencyConflict => {
                f.write_str("The Idempotency-Key was used with another request body")
            }
            Self::Unavailable(_) => {
                f.write_str("The service can't reach its database now; try again")
            }
            Self::Internal(_) => f.write_str("Internal Server Error"),
        }
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotAuthenticated => StatusCode::UNAUTHORIZED,
            Self::MissingScope(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) | Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ReplayRefused(ReplayRefusal::PayloadExpired) => StatusCode::GONE,
            Self::ReplayRefused(ReplayRefusal::NotFinished | ReplayRefusal::EndpointDisabled)
            | Self::EndpointDeleted
            | Self::TooManyEndpoints(_)
            | Self::IdempotencyConflict => StatusCode::CONFLICT,
            Self::TooManyWaiting => StatusCode::TOO_MANY_REQUESTS,
            Self::BadIdempotencyKey | Self::BodyUnreadable => StatusCode::BAD_REQUEST,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(header) = self.extra_header() {
            response.insert_header(header);
        }
        match self {
            Self::Invalid(faults) => {
                return response.json(ValidationBody {
                    detail: faults.list(),
                });
            }
            Self::Unavailable(cause) | Self::Internal(cause) => {
                error!(cause, code = self.code(), "Request failed: {self}");
            }
            Self::NotAuthenticated
            | Self::MissingScope(_)
            | Self::NotFound(_)
            | Self::UnknownPath
            | Self::MethodNotAllowed(_)
            | Self::BodyTooLarge(_)
            | Self::BodyUnreadable
            | Self::UnsupportedMediaType
            | Self::ReplayRefused(_)
            | Self::EndpointDeleted
            | Self::TooManyEndpoints(_)
            | Self::TooManyWaiting
            | Self::BadIdempotencyKey
            | Self::IdempotencyConflict => {}
        }
        response.json(ErrorBody {
            detail: self.to_string(),
            code: self.code().to_owned(),
        })
    }
}

impl From<Faults> for ApiError {
    fn from(faults: Faults) -> Self {
        Self::Invalid(faults)
    }
}

impl From<ReplayRefusal> for ApiError {
    fn from(refusal: ReplayRefusal) -> Self {
        Self::ReplayRefused(refusal)
    }
}

impl From<DieselError> for ApiError {
    fn from(error: DieselError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) => Self::Unavailable(cause),
            StoreError::Taken(_) | StoreError::Corrupt(_) | StoreError::Failed(_) => {
                Self::Internal(format!("{:#}", anyhow::Error::new(error)))
            }
        }
    }
}
