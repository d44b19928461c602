//! `POST /v1/auth/token`: OAuth2's password grant (RFC 6749 section 4.3).

mod refusal;

use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use reprise_core::scope::Scopes;
use reprise_core::store::users::{self, User};
use serde::Serialize;
use utoipa::ToSchema;

use super::password::MAX_PASSWORD_BYTES;
use super::token::{Claims, LIFETIME_SECONDS};
use crate::body;
use crate::client_address::client_address;
use crate::error::ApiError;
use crate::faults::{Faults, name};
use crate::shown_secret::{NO_STORE, ShownSecret};
use crate::state::AppState;

pub use refusal::{Refusal, TokenError, TokenValidationError};

/// Longest form: names and passwords are no longer than that, however they are encoded.
pub const MAX_FORM_BYTES: usize = 16 * 1024;

/// A token for a password (RFC 6749 section 5.1).
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenResponse {
    /// The token, for `Authorization: Bearer …`.
    #[schema(value_type = String)]
    access_token: ShownSecret,
    /// Always `bearer`.
    token_type: &'static str,
    /// Seconds until it ends.
    expires_in: i64,
    /// What it may do.
    scope: String,
}

/// The form of the request.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the form; it is read field by field")]
pub struct TokenForm {
    /// The user's name.
    username: String,
    /// The user's password.
    password: String,
    /// `password`, or absent.
    grant_type: Option<String>,
    /// Scopes separated by spaces; absent for all that the user has.
    scope: Option<String>,
}

struct Login {
    username: String,
    password: String,
    scope: String,
}

/// Answers a user's name and password with an access token.
#[utoipa::path(
    post, path = "/v1/auth/token", tag = "auth", operation_id = "create_token", security(()),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = TokenResponse), (status = 400, description = "Unknown or excessive scope"),
              (status = 401, description = "Wrong name or password"),
              (status = 422, description = "Validation Error", body = TokenValidationError),
              (status = 429, description = "Too many wrong passwords"))
)]
pub async fn create_token(
    state: Data<AppState>,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    log_in(&state, &request, payload)
        .await
        .unwrap_or_else(|refusal| refusal.answer())
}

async fn log_in(
    state: &AppState,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let form = body::read(request, payload, MAX_FORM_BYTES).await?;
    let login = read_form(request, &form).map_err(Refusal::Form)?;
    let Some(user) = limited(state, request, &login).await? else {
        return Err(Refusal::WrongPassword);
    };
    let Some(scopes) = granted_scopes(&user, &login.scope) else {
        return Err(Refusal::InvalidScope);
    };
    let scope = scopes.to_string();
    let access_token = state.tokens.make(&Claims {
        tenant_id: user.tenant_id,
        user_id: user.id,
        password_version: user.password_version,
        scopes,
    })?;
    Ok(HttpResponse::Ok()
        .insert_header(NO_STORE)
        .insert_header((header::PRAGMA, "no-cache"))
        .json(TokenResponse {
            access_token: ShownSecret::new(access_token),
            token_type: "bearer",
            expires_in: LIFETIME_SECONDS,
            scope,
        }))
}

/// [`right_user`], unless too many were wrong. Only a wrong password counts, not what could not be looked at.
async fn limited(
    state: &AppState,
    request: &HttpRequest,
    login: &Login,
) -> Result<Option<User>, ApiError> {
    let Some(limits) = &state.login_limits else {
        return right_user(state, login).await;
    };
    let address = client_address(request, &state.trusted_proxies);
    let tried = limits
        .begin(&login.username, address)
        .map_err(ApiError::RateLimited)?;
    let found = right_user(state, login).await;
    if !matches!(found, Ok(None)) {
        tried.take_back();
    }
    found
}

/// The user whose name and password these are.
async fn right_user(state: &AppState, login: &Login) -> Result<Option<User>, ApiError> {
    let user = state
        .with_connection(async |conn| users::find_by_name(conn, &login.username).await)
        .await?;
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let is_right = state.passwords.check(login.password.clone(), hash).await?;
    Ok(user.filter(|_| is_right))
}

/// All of the user's scopes, or those asked for if the user has them.
fn granted_scopes(user: &User, asked: &str) -> Option<Scopes> {
    if asked.trim().is_empty() {
        return Some(user.scopes.clone());
    }
    let asked = Scopes::parse(asked).ok()?;
    let has_all = asked.iter().all(|scope| user.scopes.contains(scope));
    has_all.then_some(asked)
}

fn read_form(request: &HttpRequest, body: &[u8]) -> Result<Login, Faults> {
    let form = Form::parse(request, body);
    let faults = Faults::default();
    // RFC 6749 section 3.2: a parameter without a value counts as omitted.
    if form
        .field("grant_type")
        .is_some_and(|grant| !grant.is_empty() && grant != "password")
    {
        let loc = vec![name("body"), name("grant_type")];
        faults.note(
            loc,
            "string_pattern_mismatch",
            "String should match pattern '^password$'",
        );
    }
    let username = form.required("username", &faults);
    let password = form.required("password", &faults);
    let login = username.zip(password).map(|(username, password)| Login {
        username,
        password,
        scope: form.field("scope").unwrap_or_default().to_owned(),
    });
    faults.unless(login)
}

/// The fields of a form; of repeated ones the last counts.
struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a body. FastAPI takes one of another type for a form without fields.
    fn parse(request: &HttpRequest, body: &[u8]) -> Self {
        let content_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let is_form = content_type.is_some_and(|value| {
            value
                .to_ascii_lowercase()
                .starts_with("application/x-www-form-urlencoded")
        });
        Self(if is_form {
            form_urlencoded::parse(body).into_owned().collect()
        } else {
            Vec::new()
        })
    }

    fn field(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// A field that must be there. Nobody's name or password is as long as what is refused here; saying so spares
    /// PostgreSQL a NUL and us a long hash.
    fn required(&self, key: &str, faults: &Faults) -> Option<String> {
        let loc = vec![name("body"), name(key)];
        match self.field(key) {
            None | Some("") => faults.note(loc, "missing", "Field required"),
            Some(text) if text.len() > MAX_PASSWORD_BYTES => {
                let message = format!("String should have at most {MAX_PASSWORD_BYTES} characters");
                faults.note(loc, "string_too_long", message);
            }
            Some(text) if text.contains('\0') => {
                faults.note(
                    loc,
                    "value_error",
                    "Value error, NUL characters are not allowed",
                );
            }
            Some(text) => return Some(text.to_owned()),
        }
        None
    }
}
