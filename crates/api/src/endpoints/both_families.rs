//! What both families do with endpoints: an endpoint of the one is a hook of the other.

use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use reprise_core::endpoint::{Endpoint, EndpointSettings, EndpointStatus};
use reprise_core::ids::{EndpointId, TenantId};
use reprise_core::store::endpoints::{
    self as store, Changed, Deletion, EndpointChange, MAX_ENDPOINTS, Made, NewEndpoint,
};
use reprise_core::store::leases;
use tokio::time::Instant;
use tracing::debug;

use super::not_found;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::faults::{Faults, Query};
use crate::pagination::link_to_next;
use crate::state::AppState;

/// What an endpoint shows that its owner disabled.
const DISABLED_BY_REQUEST: &str = "Disabled by request";
/// How long deleting waits for requests under way. What is not out by then hangs in a receiver, or in the connection
/// to one.
const QUIET_WAIT: Duration = Duration::from_secs(5);
/// How often it looks: longer than a claim takes, so that one that began before the deletion shows in the next look.
const QUIET_LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How many looks in a row must find nothing.
const QUIET_LOOKS: u32 = 2;

/// The status of an endpoint whose owner disabled it.
pub fn disabled_by_request() -> EndpointStatus {
    EndpointStatus::Disabled {
        reason: DISABLED_BY_REQUEST.to_owned(),
    }
}

/// The status that an owner asks for, beside the present one. The reason of one that is disabled already stays.
pub fn status_asked_for(is_enabled: Option<bool>, now: &EndpointStatus) -> EndpointStatus {
    match (is_enabled, now) {
        (None, _) | (Some(false), EndpointStatus::Disabled { .. }) => now.clone(),
        (Some(true), _) => EndpointStatus::Enabled,
        (Some(false), EndpointStatus::Enabled | EndpointStatus::Deleted) => disabled_by_request(),
    }
}

/// Makes an endpoint of the calling user.
///
/// # Errors
///
/// [`ApiError::TooManyEndpoints`], and those of the store.
pub async fn make(
    state: &AppState,
    caller: &Caller,
    settings: EndpointSettings,
    status: EndpointStatus,
) -> Result<Endpoint, ApiError> {
    let new = NewEndpoint {
        id: EndpointId::new(),
        owner: caller.user_id,
        settings,
        status,
    };
    let made = state
        .with_connection(async |conn| {
            store::insert(conn, &state.keys, caller.tenant_id, &new).await
        })
        .await?;
    match made {
        Made::Endpoint(endpoint) => Ok(*endpoint),
        Made::TooMany => Err(ApiError::TooManyEndpoints(MAX_ENDPOINTS)),
    }
}

/// Lists the page that a request asks for, with a response that leads to the next one by its `Link`. `list` is what the
/// list is called in its cursors.
///
/// # Errors
///
/// The faults of the query, and the errors of the store.
pub async fn list(
    state: &AppState,
    caller: &Caller,
    list: &str,
    request: &HttpRequest,
) -> Result<(Vec<Endpoint>, HttpResponseBuilder), ApiError> {
    let faults = Faults::default();
    let query = Query::parse(request.query_string(), &faults);
    let page = faults.unless(state.cursors.read_page(caller.tenant_id, list, &query))?;
    let after = page.after.map(EndpointId::from_uuid);
    let found = state
        .with_connection(async |conn| {
            store::list(conn, &state.keys, caller.tenant_id, after, page.probe()).await
        })
        .await?;
    let cursors = &state.cursors;
    let (found, next) = cursors.cut(caller.tenant_id, list, &page, found, |one| one.id.as_uuid());
    let mut response = HttpResponse::Ok();
    if let Some(cursor) = next {
        let link = link_to_next(request.path(), request.query_string(), &cursor);
        response.insert_header((header::LINK, link));
    }
    Ok((found, response))
}

/// Changes an endpoint as `decide` says.
///
/// # Errors
///
/// [`ApiError::NotFound`], what `decide` refuses, and the errors of the store.
pub async fn change(
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
///
/// # Errors
///
/// [`ApiError::NotFound`], and what was refused.
pub fn done(changed: Changed<ApiError>) -> Result<Endpoint, ApiError> {
    match changed {
        Changed::Done(endpoint) => Ok(*endpoint),
        Changed::NotFound => Err(not_found()),
        Changed::Refused(refusal) => Err(refusal),
    }
}

/// Deletes an endpoint, and waits for requests to it that are under way, up to five seconds; never
/// [`Deletion::NotFound`].
///
/// # Errors
///
/// [`ApiError::NotFound`], and the errors of the store.
pub async fn delete(
    state: &AppState,
    caller: &Caller,
    id: EndpointId,
) -> Result<Deletion, ApiError> {
    let tenant_id = caller.tenant_id;
    let deletion = state
        .with_connection(async |conn| store::delete(conn, tenant_id, id).await)
        .await?;
    if deletion == Deletion::NotFound {
        return Err(not_found());
    }
    wait_until_quiet(state, tenant_id, id).await;
    Ok(deletion)
}

/// Waits until no dispatcher works on a delivery to the endpoint: one that was claimed just before the endpoint was
/// deleted may still be on its way out. Never fails, since the deletion stands.
async fn wait_until_quiet(state: &AppState, tenant_id: TenantId, id: EndpointId) {
    let deadline = Instant::now() + QUIET_WAIT;
    let mut quiet_looks = 0;
    while Instant::now() < deadline {
        let is_busy = state
            .with_connection(async |conn| leases::is_any_live(conn, tenant_id, id).await)
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
