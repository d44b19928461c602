//! `/v1/webhooks/endpoints`.

mod body;
pub mod rotation;
mod signature;
pub mod trial;
mod view;

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use reprise_core::endpoint::{Endpoint, EndpointStatus};
use reprise_core::ids::EndpointId;
use reprise_core::scope::Scope;
use reprise_core::store::endpoints::{self as store, Changed, EndpointChange};
use reprise_core::store::leases;
use tokio::time::Instant;
use tracing::debug;

use crate::auth::Caller;
use crate::body::{MAX_BODY_BYTES, read_json};
use crate::error::ApiError;
use crate::faults::{Faults, Query};
use crate::pagination::link_to_next;
use crate::path_id;
use crate::state::AppState;
use body::EndpointPatch;

pub use body::{EndpointBody, EndpointPatchBody};
pub use view::{EndpointResponse, EndpointWithSecret};

/// Endpoints of a tenant at most: the contract's limit.
const MAX_ENDPOINTS: i64 = 10_000;
/// How long deleting waits for requests under way. What is not out by then hangs in a receiver, or in the connection
/// to one.
const QUIET_WAIT: Duration = Duration::from_secs(5);
/// How often it looks: longer than a claim takes, so that one that began before the deletion shows in the next look.
const QUIET_LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How many looks in a row must find nothing.
const QUIET_LOOKS: u32 = 2;
/// What a list is called in its cursors.
const LIST: &str = "endpoints";

fn not_found() -> ApiError {
    ApiError::NotFound("Endpoint")
}

/// Makes an endpoint. The answer holds its secret, here and never again.
#[utoipa::path(
    post, path = "/v1/webhooks/endpoints", tag = "endpoints", operation_id = "create_endpoint",
    request_body = EndpointBody,
    responses((status = 201, body = EndpointWithSecret), (status = 422, body = crate::error::ValidationBody))
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
    let endpoint = state
        .with_connection(async |conn| {
            if store::count(conn, caller.tenant_id).await? >= MAX_ENDPOINTS {
                return Err(ApiError::TooManyEndpoints(MAX_ENDPOINTS));
            }
            let id = EndpointId::new();
            let made = store::insert(
                conn,
                &state.keys,
                caller.tenant_id,
                id,
                caller.user_id,
                &settings,
            )
            .await?;
            Ok(made)
        })
        .await?;
    Ok(HttpResponse::Created().json(EndpointWithSecret::from(&endpoint)))
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
    let faults = Faults::default();
    let query = Query::parse(request.query_string(), &faults);
    let page = faults.unless(state.cursors.read_page(caller.tenant_id, LIST, &query))?;
    let after = page.after.map(EndpointId::from_uuid);
    let found = state
        .with_connection(async |conn| {
            store::list(conn, &state.keys, caller.tenant_id, after, page.probe()).await
        })
        .await?;
    let (found, next) = state
        .cursors
        .cut(caller.tenant_id, LIST, &page, found, |one| one.id.as_uuid());
    let mut response = HttpResponse::Ok();
    if let Some(cursor) = next {
        response.insert_header((
            header::LINK,
            link_to_next(request.path(), request.query_string(), &cursor),
        ));
    }
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
    let endpoint = change(&state, &caller, path_id::endpoint(&id), |endpoint| {
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
    let endpoint = change(&state, &caller, path_id::endpoint(&id), |endpoint| {
        Ok(EndpointChange {
            settings: endpoint.settings.clone(),
            status: EndpointStatus::Deleted,
        })
    })
    .await?;
    wait_until_quiet(&state, &endpoint).await;
    Ok(HttpResponse::Ok().json(EndpointResponse::from(&endpoint)))
}

/// Waits until no dispatcher works on a delivery to the endpoint: one that was claimed just before the endpoint was
/// deleted may still be on its way out. Never fails, since the deletion stands.
async fn wait_until_quiet(state: &AppState, endpoint: &Endpoint) {
    let deadline = Instant::now() + QUIET_WAIT;
    let mut quiet_looks = 0;
    while Instant::now() < deadline {
        let is_busy = state
            .with_connection(async |conn| {
                leases::is_any_live(conn, endpoint.tenant_id, endpoint.id).await
            })
            .await;
        match is_busy {
            Ok(false) => quiet_looks += 1,
            Ok(true) => quiet_looks = 0,
            Err(error) => {
                debug!(%error, "Could not look for requests under way");
                return;
            }
        }
        if quiet_looks >= QUIET_LOOKS {
            return;
        }
        tokio::time::sleep(QUIET_LOOK_INTERVAL).await;
    }
}

async fn change(
    state: &AppState,
    caller: &Caller,
    id: EndpointId,
    decide: impl FnOnce(&Endpoint) -> Result<EndpointChange, ApiError> + Send,
) -> Result<Endpoint, ApiError> {
    let changed = state
        .with_connection(async |conn| {
            store::change(conn, &state.keys, caller.tenant_id, id, decide).await
        })
        .await?;
    done(changed)
}

/// The endpoint as it is after a change.
fn done(changed: Changed<ApiError>) -> Result<Endpoint, ApiError> {
    match changed {
        Changed::Done(endpoint) => Ok(*endpoint),
        Changed::NotFound => Err(not_found()),
        Changed::Refused(refusal) => Err(refusal),
    }
}
