//! What a publisher says of an event.

use reprise_core::event_type::{EventGroup, EventType};
use reprise_core::ids::EventId;
use reprise_core::store::events::NewEvent;
use serde_json::Value;
use utoipa::ToSchema;

use crate::faults::{Faults, Fields, list_body};

/// Events of a batch at most: the contract's limit.
const MAX_EVENTS: usize = 1_000;

/// An event to publish.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body; it is read field by field")]
pub struct EventBody {
    /// Segments of letters, digits, `_` and `-`, joined by `.` or `:`; at most 128 bytes.
    #[schema(max_length = 128, pattern = "^[A-Za-z0-9_-]+([.:][A-Za-z0-9_-]+)*$")]
    event_type: String,
    /// Any JSON; kept and sent byte for byte. At most 1 MiB.
    payload: Value,
    /// A word of yours to find events by: 1 to 128 bytes, no control characters.
    #[schema(min_length = 1, max_length = 128)]
    event_group: Option<String>,
}

/// Reads one event.
pub(super) fn read_one(body: &[u8]) -> Result<NewEvent, Faults> {
    let faults = Faults::default();
    let event = read_event(Fields::from_body(body, &faults)?);
    faults.unless(event)
}

/// Reads a list of events; the faults of all of them are told together.
pub(super) fn read_batch(body: &[u8]) -> Result<Vec<NewEvent>, Faults> {
    let faults = Faults::default();
    let items = list_body(body, 1..=MAX_EVENTS, &faults)?;
    // Read all before judging, so that every event's faults are noted.
    let events: Vec<Option<NewEvent>> = items
        .into_iter()
        .map(|fields| fields.and_then(read_event))
        .collect();
    faults.unless(events.into_iter().collect())
}

fn read_event(mut fields: Fields) -> Option<NewEvent> {
    let event_type = fields.required("event_type", |field| field.parse(parse_type));
    let event_group = fields.optional("event_group", |field| field.parse(EventGroup::parse));
    let payload = fields.take_raw("payload");
    if payload.is_none() {
        fields.note("payload", "missing", "Field required");
    }
    let payload = payload.filter(|payload| {
        let fits = payload.get().len() <= MAX_PAYLOAD_BYTES;
        if !fits {
            let message =
                format!("Value error, the payload is larger than {MAX_PAYLOAD_BYTES} bytes");
            fields.note("payload", "value_error", message);
        }
        fits
    });
    fields.finish();
    Some(NewEvent {
        id: EventId::new(),
        event_type: event_type?,
        event_group,
        payload: payload?.get().as_bytes().to_vec(),
    })
}

/// Payload of an event at most: the contract's limit, and the schema's `CHECK`.
const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;

fn parse_type(text: &str) -> Result<EventType, String> {
    let event_type = EventType::parse(text).map_err(|error| error.to_string())?;
    if event_type.is_reserved() {
        return Err(format!("the type '{event_type}' is Reprise's own"));
    }
    Ok(event_type)
}
