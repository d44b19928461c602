//! Events, stored together with their deliveries.

use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, Text, Timestamptz, Uuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use super::StoreError;
use super::statement::{Bind, statement};
use crate::endpoint::{Subscription, Subscriptions};
use crate::event_type::{EventGroup, EventType};
use crate::ids::{AttemptId, DeliveryId, EventId, TenantId};

/// Deliveries made in one commit at most, unless of a single event. They take some seconds to store; more, and the
/// caller gives up waiting before it knows.
pub const MAX_DELIVERIES: usize = 100_000;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// The events and all their deliveries are durable.
    Stored {
        /// The database's time of the commit's transaction.
        created_at: OffsetDateTime,
        /// How many deliveries were made of each event, skipped ones included.
        delivery_counts: Vec<usize>,
    },
    /// It would be more than [`MAX_DELIVERIES`], and nothing was stored.
    TooManyDeliveries,
    /// The tenant's endpoints have changed since `subscriptions` was read, and nothing was stored: read and call again.
    SubscriptionsChanged,
}

#[derive(diesel::QueryableByName)]
struct StoredRow {
    #[diesel(sql_type = Timestamptz)]
    created_at: OffsetDateTime,
}

/// The deliveries of a commit, column by column.
#[derive(Default)]
struct Columns {
    ids: Vec<uuid::Uuid>,
    event_ids: Vec<uuid::Uuid>,
    endpoint_ids: Vec<uuid::Uuid>,
    owners: Vec<i64>,
    attempt_ids: Vec<uuid::Uuid>,
    are_sent: Vec<bool>,
}

impl Columns {
    /// Adds a delivery for every subscription that wants the event, and returns their number.
    fn add(&mut self, event: &NewEvent, subscriptions: &Subscriptions) -> usize {
        let before = self.ids.len();
        let wanting = |one: &&Subscription| one.wants(&event.event_type);
        for subscription in subscriptions.list.iter().filter(wanting) {
            self.ids.push(DeliveryId::new().as_uuid());
            self.event_ids.push(event.id.as_uuid());
            self.endpoint_ids.push(subscription.endpoint_id.as_uuid());
            self.owners.push(subscription.owner.0);
            self.attempt_ids.push(AttemptId::new().as_uuid());
            self.are_sent.push(subscription.is_enabled);
        }
        self.ids.len() - before
    }
}

/// Stores events with a delivery for every subscription that wants them, in one statement and so in one commit.
///
/// # Errors
///
/// [`StoreError`]. [`StoreError::Unavailable`] leaves open whether the commit happened.
pub async fn publish(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    subscriptions: &Subscriptions,
    events: &[NewEvent],
) -> Result<Published, StoreError> {
    let mut deliveries = Columns::default();
    let delivery_counts = events
        .iter()
        .map(|event| deliveries.add(event, subscriptions))
        .collect();
    if events.len() > 1 && deliveries.ids.len() > MAX_DELIVERIES {
        return Ok(Published::TooManyDeliveries);
    }
    let stored: Option<StoredRow> = statement(include_str!("sql/publish.sql"))
        .bind::<Uuid, _>(tenant_id.as_uuid())
        .bind::<BigInt, _>(subscriptions.version)
        .bind::<Array<Uuid>, _>(
            events
                .iter()
                .map(|one| one.id.as_uuid())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(
            events
                .iter()
                .map(|event| event.event_type.as_str())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Text>>, _>(
            events
                .iter()
                .map(|event| event.event_group.as_ref().map(EventGroup::as_str))
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Binary>, _>(
            events
                .iter()
                .map(|event| event.payload.as_slice())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Uuid>, _>(deliveries.ids)
        .bind::<Array<Uuid>, _>(deliveries.event_ids)
        .bind::<Array<Uuid>, _>(deliveries.endpoint_ids)
        .bind::<Array<BigInt>, _>(deliveries.owners)
        .bind::<Array<Uuid>, _>(deliveries.attempt_ids)
        .bind::<Array<Bool>, _>(deliveries.are_sent)
        .load::<StoredRow>(conn)
        .await?
        .pop();
    Ok(match stored {
        None => Published::SubscriptionsChanged,
        Some(row) => Published::Stored {
            created_at: row.created_at,
            delivery_counts,
        },
    })
}
