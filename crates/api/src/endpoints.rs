//! `/v1/webhooks/endpoints`.

mod body;
pub mod both_families;
mod described;
pub mod rotation;
mod signature;
pub mod trial;
mod view;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use reprise_core::endpoint::EndpointStatus;
use reprise_core::scope::Scope;
use reprise_core::store::StoreError;
use reprise_core::store::endpoints as store;
use serde_json::json;
use tracing::warn;

use crate::auth::Caller;
use crate::body::{MAX_BODY_BYTES, read_json};
use crate::error::ApiError;
use crate::path_id;
use crate::shown_secret::NO_STORE;
use crate::state::AppState;
use body::EndpointPatch;

pub use body::{DEFAULT_TIMEOUT, MAX_PATTERNS, any_event, read_url};
pub use described::{EndpointBody, EndpointPatchBody};
pub use signature::check_signature_header;
pub use view::{EndpointResponse, EndpointWithSecret};

/// What a list is called in its cursors.
const LIST: &str = "endpoints";

fn not_found() -> ApiError {
    ApiError::NotFound("Endpoint")
}

/// Makes an endpoint. The answer holds its secret, here and never again.
#[utoipa::path(
    post, path = "/v1/webhooks/endpoints", tag = "endpoints", operation_id = "create_endpoint",
    request_body = EndpointBody,
    responses((status = 201, body = EndpointWithSecret), (status = 409, body = crate::error::ErrorBody),
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
    let settings = EndpointPatch::read_new(&body, &state.url_rules)?.into_new()?;
    let endpoint = both_families::make(&state, &caller, settings, EndpointStatus::Enabled).await?;
    Ok(HttpResponse::Created()
        .insert_header(NO_STORE)
        .json(EndpointWithSecret::from(&endpoint)))
}
/// Lists the tenant's endpoints, newest first; a `Link` header leads to the next page.
#[utoipa::path(
    get, path = "/v1/webhooks/endpoints", tag = "endpoints", operation_id = "list_endpoints",
    params(("limit" = Option<i64>, Query, description = "1 to 250, default 50"), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Vec<EndpointResponse>))
)]
pub async fn list(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksRead)?;
    let (found, mut response) = both_families::list(&state, &caller, LIST, &request).await?;
    Ok(response.json(found.iter().map(EndpointResponse::from).collect::<Vec<_>>()))
}

/// Shows an endpoint; a deleted one too, since history names it.
#[utoipa::path(
    get, path = "/v1/webhooks/endpoints/{endpoint_id}", tag = "endpoints", operation_id = "get_endpoint",
    params(("endpoint_id" = String, Path)),
    responses((status = 200, body = EndpointResponse), (status = 404, body = crate::error::ErrorBody))
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
        .ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(EndpointResponse::from(&endpoint)))
}

/// Changes what the body names and leaves the rest; `enabled` turns the endpoint on and off.
#[utoipa::path(
    patch, path = "/v1/webhooks/endpoints/{endpoint_id}", tag = "endpoints", operation_id = "update_endpoint",
    params(("endpoint_id" = String, Path)), request_body = EndpointPatchBody,
    responses((status = 200, body = EndpointResponse), (status = 404, body = crate::error::ErrorBody),
              (status = 409, body = crate::error::ErrorBody), (status = 422, body = crate::error::ValidationBody))
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
    let patch = EndpointPatch::read_change(&body, &state.url_rules)?;
    let endpoint = both_families::change(&state, &caller, path_id::endpoint(&id), |endpoint| {
        if endpoint.status == EndpointStatus::Deleted {
            return Err(ApiError::EndpointDeleted);
        }
        patch.apply(endpoint).map_err(ApiError::from)
    })
    .await?;
    Ok(HttpResponse::Ok().json(EndpointResponse::from(&endpoint)))
}

/// Deletes an endpoint: nothing is sent any more, unfinished deliveries become `canceled`, history stays readable.
///
/// Requests that are under way are waited for, up to five seconds.
#[utoipa::path(
    delete, path = "/v1/webhooks/endpoints/{endpoint_id}", tag = "endpoints", operation_id = "delete_endpoint",
    params(("endpoint_id" = String, Path)),
    responses((status = 200, body = EndpointResponse), (status = 404, body = crate::error::ErrorBody))
)]
pub async fn delete(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksWrite)?;
    let (tenant_id, id) = (caller.tenant_id, path_id::endpoint(&id));
    both_families::delete(&state, &caller, id).await?;
    let deleted = state
        .with_connection(
            async |conn| match store::find(conn, &state.keys, tenant_id, id).await {
                Err(StoreError::Corrupt(cause)) => {
                    warn!(cause, "An endpoint was deleted that can't be read");
                    Ok(None)
                }
                found => found,
            },
        )
        .await?;
    let mut answer = HttpResponse::Ok();
    Ok(match deleted {
        Some(endpoint) => answer.json(EndpointResponse::from(&endpoint)),
        None => answer.json(json!({"id": id.to_string(), "enabled": false, "status": "deleted"})),
    })
}
