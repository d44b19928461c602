//! What is to be sent for claims.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use diesel::sql_types::{self, Array, Binary, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::delivery_queue::Claim;
use super::statement::{Bind, statement};
use super::{StoreError, stored};
use crate::event_type::EventType;
use crate::ids::EventId;

/// What is to be sent of an event.
#[derive(Clone)]
pub struct Message {
    /// The event's type.
    pub event_type: EventType,
    /// JSON, byte for byte as it was published.
    pub payload: Vec<u8>,
}

/// Without the payload.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("event_type", &self.event_type)
            .finish_non_exhaustive()
    }
}

/// The messages of some claims, by event: each once, however many endpoints get it. One that can't be read keeps none
/// of the others from being sent. Left out are the events that retention has removed.
pub type Messages = HashMap<EventId, Result<Message, StoreError>>;

/// Reads a message as it is stored.
pub(super) fn read(event_type: &str, payload: Vec<u8>) -> Result<Message, StoreError> {
    Ok(Message {
        event_type: stored("event type", EventType::parse(event_type))?,
        payload,
    })
}

#[derive(diesel::QueryableByName)]
struct MessageRow {
    #[diesel(sql_type = sql_types::Uuid)]
    event_id: Uuid,
    #[diesel(sql_type = Text)]
    event_type: String,
    #[diesel(sql_type = Binary)]
    payload: Vec<u8>,
}

/// Reads what is to be sent for claims.
///
/// Index: the primary key of events.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn load_messages(
    conn: &mut AsyncPgConnection,
    claims: &[Claim],
) -> Result<Messages, StoreError> {
    let events: BTreeSet<_> = claims
        .iter()
        .map(|claim| (claim.tenant_id, claim.event_id))
        .collect();
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = events
        .into_iter()
        .map(|(tenant_id, id)| (tenant_id.as_uuid(), id.as_uuid()))
        .unzip();
    let rows: Vec<MessageRow> = statement(include_str!("sql/load_messages.sql"))
        .bind::<Array<sql_types::Uuid>, _>(tenants)
        .bind::<Array<sql_types::Uuid>, _>(ids)
        .load(conn)
        .await?;
    let messages = rows.into_iter().map(|row| {
        let message = read(&row.event_type, row.payload);
        (EventId::from_uuid(row.event_id), message)
    });
    Ok(messages.collect())
}
