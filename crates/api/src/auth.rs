//! Who calls: credentials in, a [`Caller`] out. A handler with a `Caller` in its signature is authenticated, and only
//! a `Caller` yields a [`TenantId`].

pub mod api_key;
pub mod known;
pub mod login;
pub mod login_limits;
pub mod password;
pub mod token;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, dev};
use reprise_core::ids::{ApiKeyId, TenantId, UserId};
use reprise_core::scope::{Scope, Scopes};
use reprise_core::store::api_keys::{self, ApiKey};
use reprise_core::store::users;
use time::OffsetDateTime;
use tracing::debug;

use crate::client_address::client_address;
use crate::error::ApiError;
use crate::state::AppState;

/// How long looking a credential up may take. With what a request may take besides (a repeat's turn, and the store, ten
/// seconds each) it is less than the 30 s after which clients and proxies give up without knowing anything.
const LOOK_UP_DEADLINE: Duration = Duration::from_secs(5);
/// How long noting a key's use may take: nobody misses it, and the caller waits.
const NOTE_DEADLINE: Duration = Duration::from_secs(1);

/// The header that carries an API key.
pub const API_KEY_HEADER: &str = "X-API-Key";

/// Whose requests are counted together by `REPRISE_RATE_LIMIT_PER_KEY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// Those of one API key.
    ApiKey(ApiKeyId),
    /// Those of all tokens of a user.
    User(UserId),
}

/// An authenticated caller.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The tenant it belongs to.
    pub tenant_id: TenantId,
    /// The user it is, or whose key it used.
    pub user_id: UserId,
    /// What the credential allows.
    pub scopes: Scopes,
}

impl Caller {
    /// Goes on only with a scope.
    ///
    /// # Errors
    ///
    /// [`ApiError::MissingScope`] without it.
    pub fn require(&self, scope: Scope) -> Result<(), ApiError> {
        if self.scopes.contains(scope) {
            Ok(())
        } else {
            Err(ApiError::MissingScope(scope))
        }
    }

    /// What two credentials of one request may do together: they must agree on the tenant, and only what both allow
    /// is allowed.
    fn and(self, other: &Self) -> Result<Self, ApiError> {
        if self.tenant_id != other.tenant_id {
            return Err(ApiError::NotAuthenticated);
        }
        Ok(Self {
            scopes: self.scopes.intersection(&other.scopes),
            ..self
        })
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let state = request
                .app_data::<Data<AppState>>()
                .ok_or_else(|| ApiError::Internal("the server has no state".to_owned()))?;
            match (
                bearer_token(&request)?,
                single_header(&request, API_KEY_HEADER)?,
            ) {
                (None, None) => Err(ApiError::NotAuthenticated),
                (Some(token), None) => by_token(state, token).await,
                (None, Some(key)) => by_api_key(state, &request, key).await,
                (Some(token), Some(key)) => by_token(state, token)
                    .await?
                    .and(&by_api_key(state, &request, key).await?),
            }
        })
    }
}

/// The text of a header that may come once.
fn single_header<'a>(request: &'a HttpRequest, name: &str) -> Result<Option<&'a str>, ApiError> {
    let mut values = request.headers().get_all(name);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(ApiError::NotAuthenticated);
    }
    value
        .to_str()
        .map(Some)
        .map_err(|_| ApiError::NotAuthenticated)
}

/// The token of an `Authorization: Bearer …` header (RFC 6750 section 2.1; the scheme's case does not matter).
fn bearer_token(request: &HttpRequest) -> Result<Option<&str>, ApiError> {
    let Some(value) = single_header(request, header::AUTHORIZATION.as_str())? else {
        return Ok(None);
    };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        Some(_) | None => Err(ApiError::NotAuthenticated),
    }
}

async fn by_token(state: &AppState, token: &str) -> Result<Caller, ApiError> {
    let claims = state
        .tokens
        .check(token)
        .ok_or(ApiError::NotAuthenticated)?;
    let (tenant_id, user_id) = (claims.tenant_id, claims.user_id);
    let load = async {
        let user = state
            .with_connection_within(LOOK_UP_DEADLINE, async |conn| {
                users::find(conn, tenant_id, user_id).await
            })
            .await?;
        user.filter(|user| user.password_version == claims.password_version)
            .map(|user| user.scopes)
            .ok_or(ApiError::NotAuthenticated)
    };
    let version = (tenant_id, user_id, claims.password_version);
    let scopes = state.known_credentials.user(version, load).await?;
    state.limit(Credential::User(user_id))?;
    Ok(Caller {
        tenant_id,
        user_id,
        scopes: claims.scopes.intersection(&scopes),
    })
}

async fn by_api_key(
    state: &AppState,
    request: &HttpRequest,
    text: &str,
) -> Result<Caller, ApiError> {
    let presented = api_key::PresentedKey::parse(text).ok_or(ApiError::NotAuthenticated)?;
    let is_read_now = AtomicBool::new(false);
    let load = async || {
        is_read_now.store(true, Ordering::Relaxed);
        let address = client_address(request, &state.trusted_proxies);
        let find = find_api_key(state, &presented);
        match &state.login_limits {
            Some(limits) => limits.look_up_key(address, find).await,
            None => find.await,
        }
    };
    let key = state.known_credentials.key(presented.hash(), load).await?;
    if key.is_use_unnoted && is_read_now.into_inner() {
        note_use(state, &key).await;
    }
    if key
        .expires_at
        .is_some_and(|expires_at| expires_at <= OffsetDateTime::now_utc())
    {
        return Err(ApiError::NotAuthenticated);
    }
    state.limit(Credential::ApiKey(key.id))?;
    Ok(Caller {
        tenant_id: key.tenant_id,
        user_id: key.user_id,
        scopes: key.scopes.clone(),
    })
}

async fn find_api_key(
    state: &AppState,
    presented: &api_key::PresentedKey<'_>,
) -> Result<ApiKey, ApiError> {
    let found = state
        .with_connection_within(LOOK_UP_DEADLINE, async |conn| {
            api_keys::find_by_prefix(conn, presented.prefix()).await
        })
        .await?;
    found
        .filter(|key| presented.matches(&key.key_hash))
        .ok_or(ApiError::NotAuthenticated)
}

/// Notes that a key was used, apart from finding it: those who wait for the same key do not wait for this.
async fn note_use(state: &AppState, key: &ApiKey) {
    let noted = state
        .with_connection_within(NOTE_DEADLINE, async |conn| {
            api_keys::touch(conn, key.tenant_id, key.id).await
        })
        .await;
    if let Err(error) = noted {
        debug!(%error, "Could not note the use of an API key");
    }
}
