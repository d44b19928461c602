//! `/v1/webhooks/deliveries`: reading and canceling them. Replaying is in [`replays`](crate::replays).

mod view;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use reprise_core::delivery::{Delivery, DeliveryStatus};
use reprise_core::event_type::{EventGroup, EventType};
use reprise_core::ids::{DeliveryId, EndpointId, TenantId};
use reprise_core::scope::Scope;
use reprise_core::store::AsyncPgConnection;
use reprise_core::store::deliveries as store;
use reprise_core::store::delivery_lists::{self, DeliveryFilter};
use reprise_core::store::{attempts, lost};

use crate::auth::Caller;
use crate::body::pass_over;
use crate::error::ApiError;
use crate::faults::{Faults, Field, Query};
use crate::path_id;
use crate::state::AppState;

pub use view::{AttemptList, AttemptResponse, DeliveryList, WebhookDeliveryResponse};

/// What the list is called in its cursors.
const LIST: &str = "deliveries";

/// What a delivery canceled by this API shows.
const CANCELED_BY_REQUEST: &str = "Canceled by request";

pub fn not_found() -> ApiError {
    ApiError::NotFound("Delivery")
}

/// Lists deliveries, newest first.
///
/// A filter that few deliveries pass may give a short or empty page with a `next_cursor`: go on there.
#[utoipa::path(
    get, path = "/v1/webhooks/deliveries", tag = "deliveries", operation_id = "list_deliveries",
    params(("endpoint_id" = Option<String>, Query), ("status" = Option<String>, Query),
           ("event_type" = Option<String>, Query), ("event_group" = Option<String>, Query),
           ("created_after" = Option<String>, Query, description = "RFC 3339; this instant or later"),
           ("created_before" = Option<String>, Query, description = "RFC 3339; earlier than this instant"),
           ("http_status" = Option<i64>, Query), ("replay_of" = Option<String>, Query),
           ("limit" = Option<i64>, Query, description = "1 to 250, default 50"), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = DeliveryList), (status = 422, body = crate::error::ValidationBody))
)]
pub async fn list(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksRead)?;
    let faults = Faults::default();
    let query = Query::parse(request.query_string(), &faults);
    let filter = read_filter(&query);
    let page = faults.unless(state.cursors.read_page(caller.tenant_id, LIST, &query))?;
    let before = page.after.map(DeliveryId::from_uuid);
    let found = state
        .with_connection(async |conn| {
            delivery_lists::list(conn, caller.tenant_id, &filter, before, page.limit).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(DeliveryList {
        items: found
            .items
            .iter()
            .map(WebhookDeliveryResponse::from)
            .collect(),
        next_cursor: state.cursors.next(caller.tenant_id, LIST, found.next),
    }))
}

fn read_filter(query: &Query) -> DeliveryFilter {
    DeliveryFilter {
        endpoint_id: query
            .optional("endpoint_id", Field::uuid)
            .map(EndpointId::from_uuid),
        event_id: None,
        status: query.optional("status", |field| field.one_of(&DeliveryStatus::ALL)),
        event_type: query.optional("event_type", |field| field.parse(EventType::parse)),
        event_group: query.optional("event_group", |field| field.parse(EventGroup::parse)),
        created_after: query.optional("created_after", Field::instant),
        created_before: query.optional("created_before", Field::instant),
        http_status: query
            .optional("http_status", |field| field.integer(100..=999))
            .and_then(|status| u16::try_from(status).ok()),
        replay_of: query
            .optional("replay_of", Field::uuid)
            .map(DeliveryId::from_uuid),
    }
}

/// Shows a delivery.
#[utoipa::path(
    get, path = "/v1/webhooks/deliveries/{delivery_id}", tag = "deliveries", operation_id = "get_delivery",
    params(("delivery_id" = String, Path)),
    responses((status = 200, body = WebhookDeliveryResponse), (status = 404, body = crate::error::ErrorBody))
)]
pub async fn get(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksRead)?;
    let id = path_id::delivery(&id);
    let delivery = state
        .with_connection(async |conn| store::find(conn, caller.tenant_id, id).await)
        .await?
        .ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(WebhookDeliveryResponse::from(&delivery)))
}

/// Lists the attempts that were made for a delivery, the first one first.
#[utoipa::path(
    get, path = "/v1/webhooks/deliveries/{delivery_id}/attempts", tag = "deliveries", operation_id = "list_attempts",
    params(("delivery_id" = String, Path)),
    responses((status = 200, body = AttemptList), (status = 404, body = crate::error::ErrorBody))
)]
pub async fn list_attempts(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksRead)?;
    let id = path_id::delivery(&id);
    let found = state
        .with_connection(async |conn| attempts::list(conn, caller.tenant_id, id).await)
        .await?
        .ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(AttemptList {
        items: found.iter().map(AttemptResponse::from).collect(),
    }))
}

/// Calls off a delivery that waits for its first or next attempt.
///
/// One that is being sent, or has ended, is a conflict.
#[utoipa::path(
    post, path = "/v1/webhooks/deliveries/{delivery_id}/cancel", tag = "deliveries", operation_id = "cancel_delivery",
    params(("delivery_id" = String, Path)),
    responses((status = 200, body = WebhookDeliveryResponse), (status = 404, body = crate::error::ErrorBody),
              (status = 409, body = crate::error::ErrorBody))
)]
pub async fn cancel(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksWrite)?;
    pass_over(&request, payload).await?;
    let (tenant_id, id) = (caller.tenant_id, path_id::delivery(&id));
    let canceled = state
        .with_connection(async |conn| cancel_or_say_why(conn, tenant_id, id).await)
        .await?;
    Ok(HttpResponse::Ok().json(WebhookDeliveryResponse::from(&canceled)))
}

async fn cancel_or_say_why(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    id: DeliveryId,
) -> Result<Delivery, ApiError> {
    if let Some(delivery) = store::cancel(conn, tenant_id, id, CANCELED_BY_REQUEST).await? {
        return Ok(delivery);
    }
    // Whoever held it may be dead: then its attempt is lost, which shows, and what is left can be canceled.
    lost::take_over_one(conn, tenant_id, id).await?;
    if let Some(delivery) = store::cancel(conn, tenant_id, id, CANCELED_BY_REQUEST).await? {
        return Ok(delivery);
    }
    let found = store::find(conn, tenant_id, id).await?;
    let status = match found.ok_or_else(not_found)?.status {
        // It was leased when it was to be canceled, and has come back since.
        DeliveryStatus::Pending | DeliveryStatus::Retrying => DeliveryStatus::Delivering,
        status @ (DeliveryStatus::Delivering
        | DeliveryStatus::Delivered
        | DeliveryStatus::Failed
        | DeliveryStatus::Canceled
        | DeliveryStatus::Skipped) => status,
    };
    Err(ApiError::NotCancelable(status))
}
