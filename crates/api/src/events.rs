//! `/v1/webhooks/events`: publishing, one event or a batch. Reading them is in [`reading`].

mod body;
#[cfg(test)]
#[path = "../../../fuzz/checks/publish_body.rs"]
mod publish_body_check;
pub mod reading;
mod view;

use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use reprise_core::failpoint;
use reprise_core::ready_hint::ReadyHint;
use reprise_core::scope::Scope;
use reprise_core::store::AsyncPgConnection;
use reprise_core::store::events::NewEvent;

use crate::auth::Caller;
use crate::body::{MAX_BODY_BYTES, read_json};
use crate::error::ApiError;
use crate::idempotency::{self, Key, KeyedWork};
use crate::ingest::{self, StoredEvents};
use crate::state::AppState;
use crate::timestamp::Timestamp;

pub use body::EventBody;
pub use view::PublishedEventResponse;

/// Longest body of a batch: the contract's limit.
const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Publishes an event: answered only after it and all of its deliveries are durable.
#[utoipa::path(
    post, path = "/v1/webhooks/events", tag = "events", operation_id = "publish_event",
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the first answer")),
    request_body = EventBody,
    responses((status = 202, body = PublishedEventResponse), (status = 409, body = crate::error::ErrorBody),
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
    let event = body::read_one(&body)?;
    let path = "/v1/webhooks/events".to_owned();
    match Key::read(&request, &caller, path, &body)? {
        None => publish_with_others(&state, &caller, event).await,
        Some(key) => {
            let publication = Publication {
                state: &state,
                caller: &caller,
                events: &[event],
                show: show_one,
            };
            // Boxed: it is large, and seldom; the future of every other call would be as large, and is moved about.
            Box::pin(publication.store(Some(&key))).await
        }
    }
}

/// In a commit that it shares with what others publish at the same time.
async fn publish_with_others(
    state: &AppState,
    caller: &Caller,
    event: NewEvent,
) -> Result<HttpResponse, ApiError> {
    let event = Arc::new(event);
    let publishing = state.ingest.publish(caller.tenant_id, Arc::clone(&event));
    let stored = publishing.await?;
    let answer = show_one(&shown(state, std::slice::from_ref(event.as_ref()), stored))?;
    Ok(accepted(answer))
}

fn show_one(published: &[PublishedEventResponse]) -> Result<Vec<u8>, ApiError> {
    match published {
        [one] => idempotency::answer(one),
        _ => Err(ApiError::Internal("one event became several".to_owned())),
    }
}

fn accepted(answer: Vec<u8>) -> HttpResponse {
    failpoint::hit("before_answer");
    HttpResponse::Accepted()
        .content_type("application/json")
        .body(answer)
}

/// Publishes up to 1,000 events, all or nothing. The results come in the order of the events.
#[utoipa::path(
    post, path = "/v1/webhooks/events/batch", tag = "events", operation_id = "publish_events",
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the first answer")),
    request_body = Vec<EventBody>,
    responses((status = 202, body = Vec<PublishedEventResponse>), (status = 409, body = crate::error::ErrorBody),
              (status = 413, body = crate::error::ErrorBody), (status = 422, body = crate::error::ValidationBody))
)]
pub async fn publish_batch(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::EventsWrite)?;
    let body = read_json(&request, payload, MAX_BATCH_BYTES).await?;
    let events = body::read_batch(&body)?;
    let path = "/v1/webhooks/events/batch".to_owned();
    let key = Key::read(&request, &caller, path, &body)?;
    let publication = Publication {
        state: &state,
        caller: &caller,
        events: &events,
        show: |published| idempotency::answer(&published),
    };
    publication.store(key.as_ref()).await
}

/// Events on their way into the store, in a commit of their own.
struct Publication<'a> {
    state: &'a AppState,
    caller: &'a Caller,
    events: &'a [NewEvent],
    show: fn(&[PublishedEventResponse]) -> Result<Vec<u8>, ApiError>,
}

impl Publication<'_> {
    async fn store(self, key: Option<&Key>) -> Result<HttpResponse, ApiError> {
        let state = self.state;
        let answer = idempotency::once_in_turn(state, key, self).await?;
        state.wake_up.ask(&ReadyHint::Anywhere);
        Ok(accepted(answer))
    }
}

impl KeyedWork for Publication<'_> {
    async fn run(self, conn: &mut AsyncPgConnection) -> Result<Vec<u8>, ApiError> {
        let stored = ingest::publish(
            conn,
            &self.state.subscriptions,
            self.caller.tenant_id,
            self.events,
        )
        .await?;
        (self.show)(&shown(self.state, self.events, stored))
    }
}

/// What the caller is told of events that are stored now; they are counted too.
fn shown(
    state: &AppState,
    events: &[NewEvent],
    stored: StoredEvents,
) -> Vec<PublishedEventResponse> {
    let shown = |(event, deliveries): (&NewEvent, usize)| {
        state.metrics.note_event(deliveries);
        PublishedEventResponse {
            id: event.id.to_string(),
            event_type: event.event_type.to_string(),
            event_group: event.event_group.as_ref().map(ToString::to_string),
            created_at: Timestamp(stored.created_at),
            deliveries,
        }
    };
    let counted = events.iter().zip(stored.delivery_counts);
    counted.map(shown).collect()
}
