//! Events as the API shows them.

use reprise_core::store::published_events::PublishedEvent;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::timestamp::Timestamp;

/// An event that has been stored with its deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublishedEventResponse {
    /// The event's id, which receivers see as `webhook-id`.
    pub(super) id: String,
    pub(super) event_type: String,
    pub(super) event_group: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub(super) created_at: Timestamp,
    /// The number of deliveries made for it.
    pub(super) deliveries: usize,
}

/// An event, without its payload.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventResponse {
    /// The event's id, which receivers see as `webhook-id`.
    id: String,
    event_type: String,
    event_group: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// An event with its payload.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventWithPayload {
    /// The event.
    #[serde(flatten)]
    event: EventResponse,
    /// The JSON that was published, byte for byte.
    #[schema(value_type = serde_json::Value)]
    payload: Box<RawValue>,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventList {
    /// Newest first.
    pub items: Vec<EventResponse>,
    /// Leads to the next page, also where this one is short or empty; null on the last one.
    pub next_cursor: Option<String>,
}

impl From<&PublishedEvent> for EventResponse {
    fn from(event: &PublishedEvent) -> Self {
        Self {
            id: event.id.to_string(),
            event_type: event.event_type.to_string(),
            event_group: event.event_group.as_ref().map(ToString::to_string),
            created_at: Timestamp(event.created_at),
        }
    }
}

impl EventWithPayload {
    /// # Errors
    ///
    /// The stored payload is no JSON.
    pub(super) fn new(event: &PublishedEvent, payload: Vec<u8>) -> anyhow::Result<Self> {
        Ok(Self {
            event: event.into(),
            payload: RawValue::from_string(String::from_utf8(payload)?)?,
        })
    }
}
