//! B's family: `/hooks`. A hook is an endpoint, shown and written in another way.

mod body;
pub mod redelivery;
pub mod requests;
mod view;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use reprise_core::endpoint::EndpointStatus;
use reprise_core::scope::Scope;
use reprise_core::store::endpoints::{self as store, Deletion};

use crate::auth::Caller;
use crate::body::{MAX_BODY_BYTES, read_json};
use crate::endpoints::both_families;
use crate::error::ApiError;
use crate::path_id;
use crate::shown_secret::NO_STORE;
use crate::state::AppState;
use body::HookDraft;

pub use body::{HookBody, HookPatchBody};
pub use view::HookResponse;

/// What the list is called in its cursors.
const LIST: &str = "hooks";

fn not_found() -> ApiError {
    ApiError::NotFound("Hook")
}

/// What of an error this family says in its own words.
fn as_hook(error: ApiError) -> ApiError {
    if matches!(error, ApiError::NotFound(_) | ApiError::EndpointDeleted) {
        not_found()
    } else {
        error
    }
}

/// Lists the tenant's hooks, newest first; a `Link` header leads to the next page.
#[utoipa::path(
    get, path = "/hooks", tag = "hooks", operation_id = "list_hooks",
    params(("limit" = Option<i64>, Query, description = "1 to 250, default 50"), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Vec<HookResponse>), (status = 422, body = crate::error::ValidationBody))
)]
pub async fn list(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksRead)?;
    let (found, mut response) = both_families::list(&state, &caller, LIST, &request).await?;
    Ok(response.json(found.iter().map(HookResponse::masked).collect::<Vec<_>>()))
}

/// Makes a hook. The answer holds its secret, here and never again.
///
/// Unless `active` is true it gets nothing as yet: events are kept for it as `skipped`, and can be replayed.
#[utoipa::path(
    post, path = "/hooks", tag = "hooks", operation_id = "create_hook",
    request_body = HookBody,
    responses((status = 201, body = HookResponse), (status = 409, body = crate::error::ErrorBody),
              (status = 422, body = crate::error::ValidationBody))
)]
pub async fn create(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksWrite)?;
    let body = read_json(&request, payload, MAX_BODY_BYTES).await?;
    let (settings, status) = HookDraft::read_new(&body, &state.url_rules)?.into_new()?;
    let endpoint = both_families::make(&state, &caller, settings, status).await?;
    Ok(HttpResponse::Created()
        .insert_header(NO_STORE)
        .json(HookResponse::with_secret(&endpoint)))
}

/// Shows a hook.
#[utoipa::path(
    get, path = "/hooks/{hook_id}", tag = "hooks", operation_id = "get_hook",
    params(("hook_id" = String, Path)),
    responses((status = 200, body = HookResponse), (status = 404, body = crate::error::ErrorBody))
)]
pub async fn get(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksRead)?;
    let id = path_id::endpoint(&id);
    let endpoint = state
        .with_connection(async |conn| store::find(conn, &state.keys, caller.tenant_id, id).await)
        .await?
        .filter(|endpoint| endpoint.status != EndpointStatus::Deleted)
        .ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(HookResponse::masked(&endpoint)))
}

/// Changes what the body names and leaves the rest, as `PATCH` does.
#[utoipa::path(
    put, path = "/hooks/{hook_id}", tag = "hooks", operation_id = "put_hook",
    params(("hook_id" = String, Path)), request_body = HookPatchBody,
    responses((status = 200, body = HookResponse), (status = 404, body = crate::error::ErrorBody),
              (status = 422, body = crate::error::ValidationBody))
)]
pub async fn put(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    update(caller, state, id, request, payload).await
}

/// Changes what the body names and leaves the rest.
#[utoipa::path(
    patch, path = "/hooks/{hook_id}", tag = "hooks", operation_id = "update_hook",
    params(("hook_id" = String, Path)), request_body = HookPatchBody,
    responses((status = 200, body = HookResponse), (status = 404, body = crate::error::ErrorBody),
              (status = 422, body = crate::error::ValidationBody))
)]
pub async fn update(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksWrite)?;
    let body = read_json(&request, payload, MAX_BODY_BYTES).await?;
    let draft = HookDraft::read_change(&body, &state.url_rules)?;
    let id = path_id::endpoint(&id);
    let endpoint = both_families::change(&state, &caller, id, |endpoint| {
        if endpoint.status == EndpointStatus::Deleted {
            return Err(ApiError::EndpointDeleted);
        }
        draft.apply(endpoint).map_err(ApiError::from)
    })
    .await
    .map_err(as_hook)?;
    Ok(HttpResponse::Ok().json(HookResponse::masked(&endpoint)))
}

/// Deletes a hook: nothing is sent any more, unfinished deliveries become `canceled`, its requests stay readable.
#[utoipa::path(
    delete, path = "/hooks/{hook_id}", tag = "hooks", operation_id = "delete_hook",
    params(("hook_id" = String, Path)),
    responses((status = 204), (status = 404, body = crate::error::ErrorBody))
)]
pub async fn delete(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksWrite)?;
    let id = path_id::endpoint(&id);
    let deletion = both_families::delete(&state, &caller, id)
        .await
        .map_err(as_hook)?;
    if deletion == Deletion::DoneBefore {
        return Err(not_found());
    }
    Ok(HttpResponse::NoContent().finish())
}
