//! `GET /hooks/{hook_id}/requests`: what was sent to a hook.

use actix_web::http::header;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use reprise_core::delivery::Delivery;
use reprise_core::ids::DeliveryId;
use reprise_core::scope::Scope;
use reprise_core::store::endpoints;
use reprise_core::store::hook_requests::{self as store, HookRequest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::not_found;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::faults::{Faults, Query};
use crate::pagination::link_to_next;
use crate::path_id;
use crate::state::AppState;
use crate::timestamp::MillisecondTimestamp;

/// What the list is called in its cursors; a cursor of another hook leads to the same place in time.
const LIST: &str = "hook_requests";

/// A webhook event object: B's schema, field by field.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct HookRequestResponse {
    /// Stable for one event on one hook: redelivering does not change it.
    id: String,
    /// The tenant.
    tenant_id: String,
    /// The attempt that is next or was last.
    delivery_id: String,
    /// The event's type.
    event: String,
    /// When that attempt was queued.
    #[schema(value_type = String, format = DateTime)]
    enqueued_at: MillisecondTimestamp,
    /// Whether somebody asked for it again.
    redelivery: bool,
    /// The hook.
    hook_id: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: MillisecondTimestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: MillisecondTimestamp,
    /// The receiver's answer to that attempt; null while there is none.
    pub(super) response_status: Option<u16>,
    /// Milliseconds until the receiver had answered, or could not be reached; null while that is open.
    pub(super) response_duration_ms: Option<u64>,
}

impl From<&Delivery> for HookRequestResponse {
    fn from(delivery: &Delivery) -> Self {
        Self {
            id: delivery.first_delivery_id.to_string(),
            tenant_id: delivery.tenant_id.to_string(),
            delivery_id: delivery.attempt_id.to_string(),
            event: delivery.event_type.to_string(),
            enqueued_at: MillisecondTimestamp(delivery.attempt_enqueued_at),
            redelivery: delivery.replay_of.is_some(),
            hook_id: delivery.endpoint_id.to_string(),
            created_at: MillisecondTimestamp(delivery.created_at),
            updated_at: MillisecondTimestamp(delivery.updated_at),
            response_status: None,
            response_duration_ms: None,
        }
    }
}

impl From<&HookRequest> for HookRequestResponse {
    fn from(request: &HookRequest) -> Self {
        Self {
            response_status: request.response_status,
            response_duration_ms: request.duration_ms,
            ..Self::from(&request.newest)
        }
    }
}

/// Lists what was sent to a hook, most recent first; a `Link` header leads to the next page, also where this one is
/// short or empty.
///
/// There is one element per event, with the fields of its newest attempt. A deleted hook's requests stay readable.
#[utoipa::path(
    get, path = "/hooks/{hook_id}/requests", tag = "hooks", operation_id = "list_hook_requests",
    params(("hook_id" = String, Path),
           ("limit" = Option<i64>, Query, description = "1 to 250, default 50"), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Vec<HookRequestResponse>), (status = 404, body = crate::error::ErrorBody),
              (status = 422, body = crate::error::ValidationBody))
)]
pub async fn list(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksRead)?;
    let (tenant_id, hook_id) = (caller.tenant_id, path_id::endpoint(&id));
    let faults = Faults::default();
    let query = Query::parse(request.query_string(), &faults);
    let page = faults.unless(state.cursors.read_page(tenant_id, LIST, &query))?;
    let before = page.after.map(DeliveryId::from_uuid);
    let found = state
        .with_connection(async |conn| {
            let found = store::list(conn, tenant_id, hook_id, before, page.limit).await?;
            // A hook that nothing was sent to is not one that nobody knows.
            if found.items.is_empty()
                && endpoints::find(conn, &state.keys, tenant_id, hook_id)
                    .await?
                    .is_none()
            {
                return Err(not_found());
            }
            Ok(found)
        })
        .await?;
    let mut response = HttpResponse::Ok();
    if let Some(cursor) = state.cursors.next(tenant_id, LIST, found.next) {
        let link = link_to_next(request.path(), request.query_string(), &cursor);
        response.insert_header((header::LINK, link));
    }
    let items = found.items.iter().map(HookRequestResponse::from);
    Ok(response.json(items.collect::<Vec<_>>()))
}
