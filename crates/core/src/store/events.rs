//! Events, stored together with their deliveries.

use std::collections::{BTreeMap, HashMap};

use diesel::OptionalExtension;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, Text, Timestamptz, Uuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use super::statement::{Bind, statement};
use super::{StoreError, stored};
use crate::event_type::{EventGroup, EventType};
use crate::ids::{AttemptId, DeliveryId, EventId, TenantId};
use crate::subscriptions::Subscriptions;

/// Deliveries that one request may make at most, unless of a single event. They take some seconds to store; more, and
/// the caller gives up waiting before it knows.
pub const MAX_DELIVERIES: usize = 100_000;
/// Deliveries at which a commit takes no further publication. More, and one caller's many deliveries are waited for by all
/// whose events are in the same commit: 4 ms at this number.
const ENOUGH_DELIVERIES: usize = 1_000;

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

/// What one caller publishes: all of it is stored, or nothing.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Its endpoints, which the deliveries are made from.
    pub subscriptions: &'a Subscriptions,
    /// The events.
    pub events: &'a [NewEvent],
}

/// What came of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// The events and all their deliveries are durable.
    Stored {
        /// The database's time of the commit's transaction.
        created_at: OffsetDateTime,
        /// How many deliveries were made of each event, skipped ones included.
        delivery_counts: Vec<usize>,
    },
    /// The tenant's endpoints have changed since `subscriptions` was read, and nothing was stored: read and call again.
    SubscriptionsChanged,
    /// It would be more than [`MAX_DELIVERIES`], and nothing was stored.
    TooManyDeliveries,
    /// The commit has as many deliveries as it may have, and nothing was stored of this one: call again.
    NoRoom,
}

#[derive(diesel::QueryableByName)]
struct StoredRow {
    #[diesel(sql_type = Uuid)]
    tenant_id: uuid::Uuid,
    #[diesel(sql_type = Timestamptz)]
    created_at: OffsetDateTime,
}

/// The events of a commit, column by column.
#[derive(Default)]
struct EventColumns<'a> {
    tenants: Vec<uuid::Uuid>,
    ids: Vec<uuid::Uuid>,
    types: Vec<&'a str>,
    groups: Vec<Option<&'a str>>,
    payloads: Vec<&'a [u8]>,
}

impl<'a> EventColumns<'a> {
    fn add(&mut self, tenant_id: TenantId, event: &'a NewEvent) {
        self.tenants.push(tenant_id.as_uuid());
        self.ids.push(event.id.as_uuid());
        self.types.push(event.event_type.as_str());
        self.groups
            .push(event.event_group.as_ref().map(EventGroup::as_str));
        self.payloads.push(&event.payload);
    }

    fn truncate(&mut self, length: usize) {
        self.tenants.truncate(length);
        self.ids.truncate(length);
        self.types.truncate(length);
        self.groups.truncate(length);
        self.payloads.truncate(length);
    }
}

/// The deliveries of a commit, column by column.
#[derive(Default)]
struct DeliveryColumns<'a> {
    tenants: Vec<uuid::Uuid>,
    ids: Vec<uuid::Uuid>,
    event_ids: Vec<uuid::Uuid>,
    endpoint_ids: Vec<uuid::Uuid>,
    owners: Vec<i64>,
    attempt_ids: Vec<uuid::Uuid>,
    are_sent: Vec<bool>,
    event_types: Vec<&'a str>,
    event_groups: Vec<Option<&'a str>>,
    payload_bytes: Vec<i32>,
}

impl<'a> DeliveryColumns<'a> {
    /// Adds a delivery for every subscription that wants the event, and returns their number.
    fn add(&mut self, tenant_id: TenantId, event: &'a NewEvent, from: &Subscriptions) -> usize {
        let before = self.ids.len();
        let payload_bytes = i32::try_from(event.payload.len()).unwrap_or(i32::MAX);
        for subscription in from.wanting(&event.event_type) {
            self.tenants.push(tenant_id.as_uuid());
            self.ids.push(DeliveryId::new().as_uuid());
            self.event_ids.push(event.id.as_uuid());
            self.endpoint_ids.push(subscription.endpoint_id.as_uuid());
            self.owners.push(subscription.owner.0);
            self.attempt_ids.push(AttemptId::new().as_uuid());
            self.are_sent.push(subscription.is_enabled);
            self.event_types.push(event.event_type.as_str());
            self.event_groups
                .push(event.event_group.as_ref().map(EventGroup::as_str));
            self.payload_bytes.push(payload_bytes);
        }
        self.ids.len() - before
    }

    fn truncate(&mut self, length: usize) {
        self.tenants.truncate(length);
        self.ids.truncate(length);
        self.event_ids.truncate(length);
        self.endpoint_ids.truncate(length);
        self.owners.truncate(length);
        self.attempt_ids.truncate(length);
        self.are_sent.truncate(length);
        self.event_types.truncate(length);
        self.event_groups.truncate(length);
        self.payload_bytes.truncate(length);
    }
}

/// The contents of a commit as they are put together.
#[derive(Default)]
struct Draft<'a> {
    /// The `endpoints_version` that each tenant's deliveries were made from.
    versions: BTreeMap<TenantId, i64>,
    events: EventColumns<'a>,
    deliveries: DeliveryColumns<'a>,
}

/// Whether a publication is in the draft.
enum Taken {
    /// With so many deliveries of each event.
    In(Vec<usize>),
    /// It is not.
    Out(Published),
}

impl<'a> Draft<'a> {
    /// Takes a publication, unless that makes the commit too large. The first one is taken however large it is.
    fn take(&mut self, one: &Publication<'a>) -> Taken {
        let (events, deliveries) = (self.events.ids.len(), self.deliveries.ids.len());
        let version = one.subscriptions.version();
        if self
            .versions
            .get(&one.tenant_id)
            .is_some_and(|known| *known != version)
        {
            return Taken::Out(Published::SubscriptionsChanged);
        }
        let mut counts = Vec::with_capacity(one.events.len());
        let mut refusal = None;
        for event in one.events {
            self.events.add(one.tenant_id, event);
            counts.push(self.deliveries.add(one.tenant_id, event, one.subscriptions));
            let made = self.deliveries.ids.len();
            if one.events.len() > 1 && made - deliveries > MAX_DELIVERIES {
                refusal = Some(Published::TooManyDeliveries);
            } else if events > 0 && made > ENOUGH_DELIVERIES {
                refusal = Some(Published::NoRoom);
            }
            if let Some(refusal) = refusal {
                self.events.truncate(events);
                self.deliveries.truncate(deliveries);
                return Taken::Out(refusal);
            }
        }
        self.versions.insert(one.tenant_id, version);
        Taken::In(counts)
    }
}

/// Stores events of one tenant with a delivery for every subscription that wants them, in one statement and so in one
/// commit.
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
    let one = Publication {
        tenant_id,
        subscriptions,
        events,
    };
    let published = publish_together(conn, &[one]).await?.pop();
    Ok(published.unwrap_or(Published::NoRoom))
}

/// Stores publications in one statement and so in one commit, and tells what came of each, in order. The first one is always
/// taken, so that calling again with what there was no room for ends.
///
/// # Errors
///
/// [`StoreError`], of which any one event may be the cause; nothing is stored then. [`StoreError::Unavailable`] leaves
/// open whether the commit happened.
pub async fn publish_together(
    conn: &mut AsyncPgConnection,
    publications: &[Publication<'_>],
) -> Result<Vec<Published>, StoreError> {
    let mut draft = Draft::default();
    let taken: Vec<Taken> = publications.iter().map(|one| draft.take(one)).collect();
    let created = insert(conn, draft).await?;
    let outcome =
        |(one, taken): (&Publication<'_>, Taken)| match (taken, created.get(&one.tenant_id)) {
            (Taken::Out(refusal), _) => refusal,
            (Taken::In(_), None) => Published::SubscriptionsChanged,
            (Taken::In(delivery_counts), Some(created_at)) => Published::Stored {
                created_at: *created_at,
                delivery_counts,
            },
        };
    Ok(publications.iter().zip(taken).map(outcome).collect())
}

/// When the events of each tenant were stored; left out are the tenants whose subscriptions have changed.
async fn insert(
    conn: &mut AsyncPgConnection,
    draft: Draft<'_>,
) -> Result<HashMap<TenantId, OffsetDateTime>, StoreError> {
    let Draft {
        versions,
        events,
        deliveries,
    } = draft;
    let (tenants, versions): (Vec<_>, Vec<_>) = versions
        .into_iter()
        .map(|(tenant_id, version)| (tenant_id.as_uuid(), version))
        .unzip();
    let rows: Vec<StoredRow> = statement(include_str!("sql/publish.sql"))
        .bind::<Array<Uuid>, _>(tenants)
        .bind::<Array<BigInt>, _>(versions)
        .bind::<Array<Uuid>, _>(events.tenants)
        .bind::<Array<Uuid>, _>(events.ids)
        .bind::<Array<Text>, _>(events.types)
        .bind::<Array<Nullable<Text>>, _>(events.groups)
        .bind::<Array<Binary>, _>(events.payloads)
        .bind::<Array<Uuid>, _>(deliveries.tenants)
        .bind::<Array<Uuid>, _>(deliveries.ids)
        .bind::<Array<Uuid>, _>(deliveries.event_ids)
        .bind::<Array<Uuid>, _>(deliveries.endpoint_ids)
        .bind::<Array<BigInt>, _>(deliveries.owners)
        .bind::<Array<Uuid>, _>(deliveries.attempt_ids)
        .bind::<Array<Bool>, _>(deliveries.are_sent)
        .bind::<Array<Text>, _>(deliveries.event_types)
        .bind::<Array<Nullable<Text>>, _>(deliveries.event_groups)
        .bind::<Array<Integer>, _>(deliveries.payload_bytes)
        .load(conn)
        .await?;
    let created = rows
        .into_iter()
        .map(|row| (TenantId::from_uuid(row.tenant_id), row.created_at));
    Ok(created.collect())
}

#[derive(diesel::QueryableByName)]
struct FoundRow {
    #[diesel(sql_type = Timestamptz)]
    created_at: OffsetDateTime,
    #[diesel(sql_type = BigInt)]
    delivery_count: i64,
}

/// Finds out what publishing an event has stored, when the answer was lost: its time and the number of its deliveries.
///
/// Indexes: the primary key of events, and `deliveries_event_idx`.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn find_stored(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    id: EventId,
) -> Result<Option<(OffsetDateTime, usize)>, StoreError> {
    let row: Option<FoundRow> = statement(
        "SELECT created_at,
                -- In the order of all the index's columns, so that the planner has one way to go.
                (SELECT count(*) FROM (
                     SELECT FROM deliveries
                     WHERE tenant_id = $1 AND event_id >= $2 AND event_id <= $2
                       AND replay_of_delivery_id IS NULL
                     ORDER BY tenant_id, event_id, id) of_event) AS delivery_count
         FROM events
         WHERE tenant_id = $1 AND id = $2",
    )
    .bind::<Uuid, _>(tenant_id.as_uuid())
    .bind::<Uuid, _>(id.as_uuid())
    .get_result(conn)
    .await
    .optional()?;
    row.map(|row| {
        let count = stored("number of deliveries", usize::try_from(row.delivery_count))?;
        Ok((row.created_at, count))
    })
    .transpose()
}
