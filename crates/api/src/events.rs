//! `POST /v1/webhooks/events`: publishing.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use reprise_core::event_type::{EventGroup, EventType};
use reprise_core::ids::EventId;
use reprise_core::scope::Scope;
use reprise_core::store::AsyncPgConnection;
use reprise_core::store::events::NewEvent;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::body::{MAX_BODY_BYTES, read_json};
use crate::error::ApiError;
use crate::faults::{Faults, Fields};
use crate::idempotency::{self, KeyedWork};
use crate::state::AppState;
use crate::timestamp::Timestamp;

/// An event to publish.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body; it is read field by field")]
pub struct EventBody {
    /// Segments of letters, digits, `_` and `-`, joined by `.` or `:`; at most 128 bytes.
    event_type: String,
    /// Any JSON; kept and sent byte for byte.
    payload: Value,
    /// A word of yours to find events by.
    event_group: Option<String>,
}

/// An event that has been stored with its deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventResponse {
    /// The event's id, which receivers see as `webhook-id`.
    id: String,
    event_type: String,
    event_group: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The number of deliveries made for it.
    deliveries: usize,
}

/// Publishes an event: answered only after it and all of its deliveries are durable.
#[utoipa::path(
    post, path = "/v1/webhooks/events", tag = "events", operation_id = "publish_event",
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the first answer")),
    request_body = EventBody,
    responses((status = 202, body = EventResponse), (status = 409, body = crate::error::ErrorBody),
              (status = 413, body = crate::error::ErrorBody), (status = 422, body = crate::error::ValidationBody))
)]
pub async fn publish(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::EventsWrite)?;
    let body = read_json(&request, payload, MAX_BODY_BYTES).await?;
    let event = read_event(&body)?;
    let key = idempotency::Key::read(&request, &caller, "/v1/webhooks/events".to_owned(), &body)?;
    let answer = state
        .with_connection(async |conn| {
            let publication = Publication {
                state: &state,
                caller: &caller,
                event: &event,
            };
            idempotency::once(conn, key.as_ref(), publication).await
        })
        .await?;
    state.wake_up.ask();
    Ok(HttpResponse::Accepted()
        .content_type("application/json")
        .body(answer))
}

/// An event on its way into the store.
struct Publication<'a> {
    state: &'a AppState,
    caller: &'a Caller,
    event: &'a NewEvent,
}

impl KeyedWork for Publication<'_> {
    async fn run(self, conn: &mut AsyncPgConnection) -> Result<Vec<u8>, ApiError> {
        let Self {
            state,
            caller,
            event,
        } = self;
        let (created_at, deliveries) = state
            .subscriptions
            .publish(conn, caller.tenant_id, event)
            .await?;
        state.metrics.note_event(deliveries);
        idempotency::answer(&EventResponse {
            id: event.id.to_string(),
            event_type: event.event_type.to_string(),
            event_group: event.event_group.as_ref().map(ToString::to_string),
            created_at: Timestamp(created_at),
            deliveries,
        })
    }
}

fn read_event(body: &[u8]) -> Result<NewEvent, Faults> {
    let faults = Faults::default();
    let mut fields = Fields::from_body(body, &faults)?;
    let event_type = fields.required("event_type", |field| field.parse(EventType::parse));
    let event_group = fields.optional("event_group", |field| field.parse(EventGroup::parse));
    let payload = fields.take_raw("payload");
    if payload.is_none() {
        fields.note("payload", "missing", "Field required");
    }
    fields.finish();
    let event = event_type
        .zip(payload)
        .map(|(event_type, payload)| NewEvent {
            id: EventId::new(),
            event_type,
            event_group,
            payload: payload.get().as_bytes().to_vec(),
        });
    faults.unless(event)
}
