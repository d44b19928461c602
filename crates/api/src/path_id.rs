//! Ids in paths. A malformed one becomes an id that nobody has, and takes the same way to the same 404.

use reprise_core::ids::{ApiKeyId, DeliveryId, EndpointId, EventId};
use uuid::Uuid;

/// Reads a UUID as the contract writes it (hyphenated); anything else is the nil UUID, which is no UUIDv7.
fn read(text: &str) -> Uuid {
    Uuid::try_parse(text)
        .ok()
        .filter(|_| text.len() == 36)
        .unwrap_or(Uuid::nil())
}

/// The endpoint that a path names.
#[must_use]
pub fn endpoint(text: &str) -> EndpointId {
    EndpointId::from_uuid(read(text))
}

/// The delivery that a path names.
#[must_use]
pub fn delivery(text: &str) -> DeliveryId {
    DeliveryId::from_uuid(read(text))
}

/// The API key that a path names.
#[must_use]
pub fn api_key(text: &str) -> ApiKeyId {
    ApiKeyId::from_uuid(read(text))
}

/// The event that a path names.
#[must_use]
pub fn event(text: &str) -> EventId {
    EventId::from_uuid(read(text))
}
