//! What is to be sent for claims.

use std::collections::{BTreeSet, HashMap};

use diesel::sql_types::{self, Array, Binary, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::delivery_queue::Claim;
use super::statement::{Bind, statement};
use super::{StoreError, stored};
use crate::event_type::EventType;
use crate::ids::EventId;

/// What is to be sent of an event.
#[derive(Clone, Debug)]
pub struct Message {
    /// The event's type.
    pub event_type: EventType,
    /// JSON, byte for byte as it was published.
    pub payload: Vec<u8>,
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

/// Reads what is to be sent for claims, by event: once, however many endpoints get it. Left out are the events that
/// retention has removed.
///
/// Index: the primary key of events.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or a row can't be read.
pub async fn load_messages(
    conn: &mut AsyncPgConnection,
    claims: &[Claim],
) -> Result<HashMap<EventId, Message>, StoreError> {
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
    rows.into_iter()
        .map(|row| {
            let message = Message {
                event_type: stored("event type", EventType::parse(&row.event_type))?,
                payload: row.payload,
            };
            Ok((EventId::from_uuid(row.event_id), message))
        })
        .collect()
}
