//! Events, stored together with their deliveries.

use diesel::OptionalExtension;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, Text, Timestamptz, Uuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use super::StoreError;
use super::statement::{Bind, statement};
use crate::endpoint::Subscriptions;
use crate::event_type::{EventGroup, EventType};
use crate::ids::{AttemptId, DeliveryId, EventId, TenantId};

/// An event to be stored.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub event_type: EventType,
    /// Its group.
    pub event_group: Option<EventGroup>,
    /// JSON, byte for byte as it was published; at most 1 MiB.
    pub payload: Vec<u8>,
}

/// What came of publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The event and all its deliveries are durable.
    Stored {
        /// The database's time of the commit's transaction.
        created_at: OffsetDateTime,
        /// How many deliveries were made, skipped ones included.
        delivery_count: usize,
    },
    /// The tenant's endpoints have changed since `subscriptions` was read, and nothing was stored: read and call again.
    SubscriptionsChanged,
}

#[derive(diesel::QueryableByName)]
struct StoredRow {
    #[diesel(sql_type = Timestamptz)]
    created_at: OffsetDateTime,
}

/// Stores an event with a delivery for every subscription that wants it, in one statement and so in one commit.
///
/// # Errors
///
/// [`StoreError`]. [`StoreError::Unavailable`] leaves open whether the commit happened.
pub async fn publish(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    subscriptions: &Subscriptions,
    event: &NewEvent,
) -> Result<Published, StoreError> {
    let wanting: Vec<_> = subscriptions
        .list
        .iter()
        .filter(|one| one.wants(&event.event_type))
        .collect();
    let delivery_ids: Vec<_> = wanting
        .iter()
        .map(|_| DeliveryId::new().as_uuid())
        .collect();
    let attempt_ids: Vec<_> = wanting.iter().map(|_| AttemptId::new().as_uuid()).collect();
    let stored: Option<StoredRow> = statement(include_str!("sql/publish.sql"))
        .bind::<Uuid, _>(tenant_id.as_uuid())
        .bind::<BigInt, _>(subscriptions.version)
        .bind::<Array<Uuid>, _>(vec![event.id.as_uuid()])
        .bind::<Array<Text>, _>(vec![event.event_type.as_str()])
        .bind::<Array<Nullable<Text>>, _>(vec![event.event_group.as_ref().map(EventGroup::as_str)])
        .bind::<Array<Binary>, _>(vec![event.payload.as_slice()])
        .bind::<Array<Uuid>, _>(delivery_ids)
        .bind::<Array<Uuid>, _>(vec![event.id.as_uuid(); wanting.len()])
        .bind::<Array<Uuid>, _>(
            wanting
                .iter()
                .map(|one| one.endpoint_id.as_uuid())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<BigInt>, _>(wanting.iter().map(|one| one.owner.0).collect::<Vec<_>>())
        .bind::<Array<Uuid>, _>(attempt_ids)
        .bind::<Array<Bool>, _>(wanting.iter().map(|one| one.is_enabled).collect::<Vec<_>>())
        .get_result(conn)
        .await
        .optional()?;
    Ok(
        stored.map_or(Published::SubscriptionsChanged, |row| Published::Stored {
            created_at: row.created_at,
            delivery_count: wanting.len(),
        }),
    )
}
