//! What a login is answered that gets no token: FastAPI's words, with RFC 6749's besides (section 5.2).

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::faults::{Fault, Faults, name};

/// A login that got no token.
#[derive(Debug)]
pub enum Refusal {
    /// The form has faults.
    Form(Faults),
    /// No such user, or another password.
    WrongPassword,
    /// A scope that nobody knows, or that the user does not have.
    InvalidScope,
    /// What any route may answer.
    Other(ApiError),
}

/// The body of every refusal but 422.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenError {
    /// For people.
    detail: String,
    /// A stable word for programs.
    code: &'static str,
    /// RFC 6749's word.
    error: &'static str,
    /// The same as `detail`.
    error_description: String,
}

/// The body of 422: FastAPI's, with RFC 6749's words besides.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenValidationError {
    /// Every fault, not only the first.
    detail: Vec<Fault>,
    /// RFC 6749's word.
    error: &'static str,
    /// The first fault.
    error_description: String,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Other(error)
    }
}

impl Refusal {
    /// The response.
    pub fn answer(&self) -> HttpResponse {
        let mut answer = match self {
            Self::Form(faults) => {
                HttpResponse::UnprocessableEntity().json(TokenValidationError::of(faults))
            }
            Self::WrongPassword => HttpResponse::Unauthorized()
                .insert_header((header::WWW_AUTHENTICATE, "Bearer"))
                .json(self.body()),
            Self::InvalidScope => HttpResponse::BadRequest().json(self.body()),
            Self::Other(error) => {
                let mut response = HttpResponse::build(self.status());
                // What any route answers, but for the body: the header that the status asks for, and a line in the log.
                let common = error.answer();
                for header in common.headers() {
                    response.append_header(header);
                }
                response.json(self.body())
            }
        };
        answer
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Form(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::WrongPassword => StatusCode::UNAUTHORIZED,
            Self::InvalidScope => StatusCode::BAD_REQUEST,
            Self::Other(error) => error.status_code(),
        }
    }

    /// The stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Form(_) => "validation_error",
            Self::WrongPassword => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::Other(error) => error.code(),
        }
    }

    /// RFC 6749's word.
    fn error(&self) -> &'static str {
        let is_passing =
            self.status().is_server_error() || self.status() == StatusCode::TOO_MANY_REQUESTS;
        match self {
            Self::WrongPassword | Self::InvalidScope => self.code(),
            Self::Other(_) if is_passing => "temporarily_unavailable",
            Self::Form(_) | Self::Other(_) => "invalid_request",
        }
    }

    /// The body of any but [`Refusal::Form`], which has one of its own.
    pub fn body(&self) -> TokenError {
        let detail = match self {
            Self::Form(_) => "The form has faults".to_owned(),
            Self::WrongPassword => "Incorrect username or password".to_owned(),
            Self::InvalidScope => "The user does not have the scope asked for".to_owned(),
            Self::Other(error) => error.to_string(),
        };
        TokenError {
            error_description: detail.clone(),
            detail,
            code: self.code(),
            error: self.error(),
        }
    }
}

impl TokenValidationError {
    fn of(faults: &Faults) -> Self {
        let detail = faults.list();
        let is_grant = |fault: &Fault| fault.loc.last() == Some(&name("grant_type"));
        Self {
            error: if detail.iter().any(is_grant) {
                "unsupported_grant_type"
            } else {
                "invalid_request"
            },
            error_description: detail
                .first()
                .map_or_else(String::new, |fault| fault.msg.clone()),
            detail,
        }
    }
}
