//! Reading events: `GET /v1/webhooks/events`, one of them, and its deliveries.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use reprise_core::event_type::{EventGroup, EventType};
use reprise_core::ids::{DeliveryId, EventId};
use reprise_core::scope::Scope;
use reprise_core::store::delivery_lists::{self, DeliveryFilter};
use reprise_core::store::published_events::{self as store, EventFilter};

use super::view::{EventList, EventResponse, EventWithPayload};
use crate::auth::Caller;
use crate::deliveries::{DeliveryList, WebhookDeliveryResponse};
use crate::error::ApiError;
use crate::faults::{Faults, Field, Query};
use crate::path_id;
use crate::state::AppState;

/// What the lists are called in their cursors.
const LIST: &str = "events";
const DELIVERIES_LIST: &str = "event_deliveries";

fn not_found() -> ApiError {
    ApiError::NotFound("Event")
}

/// Lists events, newest first, without their payloads.
///
/// A filter that few events pass may give a short or empty page with a `next_cursor`: go on there.
#[utoipa::path(
    get, path = "/v1/webhooks/events", tag = "events", operation_id = "list_events",
    params(("event_type" = Option<String>, Query), ("event_group" = Option<String>, Query),
           ("created_after" = Option<String>, Query, description = "RFC 3339; this instant or later"),
           ("created_before" = Option<String>, Query, description = "RFC 3339; earlier than this instant"),
           ("limit" = Option<i64>, Query, description = "1 to 250, default 50"), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = EventList), (status = 422, body = crate::error::ValidationBody))
)]
pub async fn list(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksRead)?;
    let faults = Faults::default();
    let query = Query::parse(request.query_string(), &faults);
    let filter = EventFilter {
        event_type: query.optional("event_type", |field| field.parse(EventType::parse)),
        event_group: query.optional("event_group", |field| field.parse(EventGroup::parse)),
        created_after: query.optional("created_after", Field::instant),
        created_before: query.optional("created_before", Field::instant),
    };
    let page = faults.unless(state.cursors.read_page(caller.tenant_id, LIST, &query))?;
    let before = page.after.map(EventId::from_uuid);
    let found = state
        .with_connection(async |conn| {
            store::list(conn, caller.tenant_id, &filter, before, page.limit).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(EventList {
        items: found.items.iter().map(EventResponse::from).collect(),
        next_cursor: state.cursors.next(caller.tenant_id, LIST, found.next),
    }))
}

/// Shows an event with its payload, as long as retention keeps it.
#[utoipa::path(
    get, path = "/v1/webhooks/events/{event_id}", tag = "events", operation_id = "get_event",
    params(("event_id" = String, Path)),
    responses((status = 200, body = EventWithPayload), (status = 404, body = crate::error::ErrorBody))
)]
pub async fn get(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksRead)?;
    let id = path_id::event(&id);
    let (event, payload) = state
        .with_connection(async |conn| store::find(conn, caller.tenant_id, id).await)
        .await?
        .ok_or_else(not_found)?;
    let shown = EventWithPayload::new(&event, payload).map_err(|error| {
        ApiError::Internal(format!("a stored payload can't be read: {error:#}"))
    })?;
    Ok(HttpResponse::Ok().json(shown))
}

/// Lists the deliveries of an event, newest first, replays included.
#[utoipa::path(
    get, path = "/v1/webhooks/events/{event_id}/deliveries", tag = "events", operation_id = "list_event_deliveries",
    params(("event_id" = String, Path),
           ("limit" = Option<i64>, Query, description = "1 to 250, default 50"), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = DeliveryList), (status = 404, body = crate::error::ErrorBody),
              (status = 422, body = crate::error::ValidationBody))
)]
pub async fn list_deliveries(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksRead)?;
    let faults = Faults::default();
    let query = Query::parse(request.query_string(), &faults);
    let (tenant_id, event_id) = (caller.tenant_id, path_id::event(&id));
    let filter = DeliveryFilter {
        event_id: Some(event_id),
        ..DeliveryFilter::default()
    };
    let page = faults.unless(state.cursors.read_page(tenant_id, DELIVERIES_LIST, &query))?;
    let before = page.after.map(DeliveryId::from_uuid);
    let found = state
        .with_connection(async |conn| {
            let found = delivery_lists::list(conn, tenant_id, &filter, before, page.limit).await?;
            // An event that nobody wanted is not one that nobody knows.
            if found.items.is_empty() && store::find(conn, tenant_id, event_id).await?.is_none() {
                return Err(not_found());
            }
            Ok(found)
        })
        .await?;
    Ok(HttpResponse::Ok().json(DeliveryList {
        items: found
            .items
            .iter()
            .map(WebhookDeliveryResponse::from)
            .collect(),
        next_cursor: state.cursors.next(tenant_id, DELIVERIES_LIST, found.next),
    }))
}
