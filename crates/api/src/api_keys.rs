//! `/v1/auth/api-keys`: making, listing and revoking API keys. All of it needs the scope `admin`.

mod body;
mod view;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use reprise_core::ids::ApiKeyId;
use reprise_core::scope::Scope;
use reprise_core::store::api_keys::{self as store, Inserted, ListedApiKey, MAX_KEYS, NewApiKey};

use crate::auth::Caller;
use crate::auth::api_key::NewKey;
use crate::body::{MAX_BODY_BYTES, read_json};
use crate::error::ApiError;
use crate::faults::{Faults, Query};
use crate::path_id;
use crate::shown_secret::NO_STORE;
use crate::state::AppState;
use body::ApiKeyDraft;

pub use body::ApiKeyBody;
pub use view::{ApiKeyList, ApiKeyResponse, ApiKeyWithSecret};

/// What the list is called in its cursors.
const LIST: &str = "api_keys";

/// Makes an API key of the calling user. The answer holds the key, here and never again.
///
/// It may do what the body's `scopes` say, by default all that the caller may; more than that is refused.
#[utoipa::path(
    post, path = "/v1/auth/api-keys", tag = "auth", operation_id = "create_api_key",
    request_body = ApiKeyBody,
    responses((status = 201, body = ApiKeyWithSecret), (status = 409, body = crate::error::ErrorBody),
              (status = 422, body = crate::error::ValidationBody))
)]
pub async fn create(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::Admin)?;
    let body = read_json(&request, payload, MAX_BODY_BYTES).await?;
    let draft = ApiKeyDraft::read(&body, time::OffsetDateTime::now_utc())?;
    let scopes = draft.scopes_within(&caller)?;
    let key = NewKey::generate();
    let row = NewApiKey {
        id: ApiKeyId::new(),
        user_id: caller.user_id,
        name: &draft.name,
        prefix: &key.prefix,
        key_hash: &key.hash,
        scopes: &scopes,
        expires_at: draft.expires_at,
    };
    let inserted = state
        .with_connection(async |conn| store::insert(conn, caller.tenant_id, &row).await)
        .await?;
    let Inserted::At(created_at) = inserted else {
        return Err(ApiError::TooManyApiKeys(MAX_KEYS));
    };
    let listed = ListedApiKey {
        id: row.id,
        user_id: caller.user_id,
        name: draft.name.to_string(),
        prefix: key.prefix.clone(),
        scopes: scopes.clone(),
        expires_at: draft.expires_at,
        last_used_at: None,
        created_at,
    };
    Ok(HttpResponse::Created()
        .insert_header(NO_STORE)
        .json(ApiKeyWithSecret::new(&listed, key.text)))
}

/// Lists the tenant's API keys, newest first, without what they open; revoked ones are left out.
#[utoipa::path(
    get, path = "/v1/auth/api-keys", tag = "auth", operation_id = "list_api_keys",
    params(("limit" = Option<i64>, Query, description = "1 to 250, default 50"), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = ApiKeyList), (status = 422, body = crate::error::ValidationBody))
)]
pub async fn list(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::Admin)?;
    let faults = Faults::default();
    let query = Query::parse(request.query_string(), &faults);
    let page = faults.unless(state.cursors.read_page(caller.tenant_id, LIST, &query))?;
    let before = page.after.map(ApiKeyId::from_uuid);
    let found = state
        .with_connection(async |conn| {
            store::list(conn, caller.tenant_id, before, page.probe()).await
        })
        .await?;
    let (found, next_cursor) = state
        .cursors
        .cut(caller.tenant_id, LIST, &page, found, |one| one.id.as_uuid());
    let items = found.iter().map(ApiKeyResponse::from).collect();
    Ok(HttpResponse::Ok().json(ApiKeyList { items, next_cursor }))
}

/// Revokes an API key of the tenant: it opens nothing any more, within five seconds everywhere.
#[utoipa::path(
    delete, path = "/v1/auth/api-keys/{api_key_id}", tag = "auth", operation_id = "revoke_api_key",
    params(("api_key_id" = String, Path)),
    responses((status = 204), (status = 404, body = crate::error::ErrorBody))
)]
pub async fn revoke(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::Admin)?;
    let id = path_id::api_key(&id);
    let is_revoked = state
        .with_connection(async |conn| store::revoke(conn, caller.tenant_id, id).await)
        .await?;
    if is_revoked {
        state.known_credentials.forget_keys();
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(ApiError::NotFound("API key"))
    }
}
