//! What is to be sent for claims.

use std::collections::HashMap;

use diesel::sql_types::{self, Array, Binary, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::delivery_queue::Claim;
use super::statement::{Bind, statement};
use super::{StoreError, stored};
use crate::event_type::EventType;
use crate::ids::DeliveryId;

/// What is to be sent for a claim.
#[derive(Clone, Debug)]
pub struct Message {
    /// The event's type.
    pub event_type: EventType,
    /// The delivery that this one replays.
    pub replay_of: Option<DeliveryId>,
    /// The payload, or `None` once retention has removed it.
    pub payload: Option<Vec<u8>>,
}

#[derive(diesel::QueryableByName)]
struct MessageRow {
    #[diesel(sql_type = sql_types::Uuid)]
    delivery_id: Uuid,
    #[diesel(sql_type = Text)]
    event_type: String,
    #[diesel(sql_type = Nullable<sql_types::Uuid>)]
    replay_of_delivery_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Binary>)]
    payload: Option<Vec<u8>>,
}

/// Reads what is to be sent for claims, by delivery. A delivery whose row is gone is left out.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or a row can't be read.
pub async fn load_messages(
    conn: &mut AsyncPgConnection,
    claims: &[Claim],
) -> Result<HashMap<DeliveryId, Message>, StoreError> {
    let rows: Vec<MessageRow> = statement(include_str!("sql/load_messages.sql"))
        .bind::<Array<sql_types::Uuid>, _>(
            claims
                .iter()
                .map(|claim| claim.tenant_id.as_uuid())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<sql_types::Uuid>, _>(
            claims
                .iter()
                .map(|claim| claim.delivery_id.as_uuid())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<sql_types::Uuid>, _>(
            claims
                .iter()
                .map(|claim| claim.event_id.as_uuid())
                .collect::<Vec<_>>(),
        )
        .load(conn)
        .await?;
    rows.into_iter()
        .map(|row| {
            let message = Message {
                event_type: stored("event type", EventType::parse(&row.event_type))?,
                replay_of: row.replay_of_delivery_id.map(DeliveryId::from_uuid),
                payload: row.payload,
            };
            Ok((DeliveryId::from_uuid(row.delivery_id), message))
        })
        .collect()
}
