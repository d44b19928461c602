//! Events, stored together with their deliveries.

mod draft;

use std::fmt;

use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, Text, Timestamptz, Uuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use self::draft::{Draft, Place, Taken, element};
use super::statement::{Bind, statement};
use super::{StoreError, notifications, only_row, stored};
use crate::event_type::{EventGroup, EventType};
use crate::ids::{EventId, TenantId};
use crate::ready_hint::ReadyHint;
use crate::subscriptions::Subscriptions;

/// Deliveries that one request may make at most, unless of a single event. They take some seconds to store; more, and
/// the caller gives up waiting before it knows.
pub const MAX_DELIVERIES: usize = 100_000;
/// Deliveries at which a commit takes no further publication. More, and one caller's many deliveries are waited for by
/// all whose events are in the same commit: 4 ms at this number.
const ENOUGH_DELIVERIES: usize = 1_000;

/// An event to be stored.
#[derive(Clone)]
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

/// Without the payload.
impl fmt::Debug for NewEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewEvent")
            .field("id", &self.id)
            .field("event_type", &self.event_type)
            .finish_non_exhaustive()
    }
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

/// Whether a commit tells the dispatchers where it makes something ready. NOTIFY takes a lock at commit, so few may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Telling {
    /// It tells them, and what earlier commits have not told.
    Dispatchers(ReadyHint),
    /// It does not: the caller will, later.
    Nobody,
}

/// What came of publications that were stored together.
#[derive(Clone, Debug)]
pub struct PublishedTogether {
    /// Of each, in order.
    pub published: Vec<Published>,
    /// Where something is ready that the dispatchers were not told of.
    pub untold: ReadyHint,
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
    /// Of each tenant, whether its endpoints are those that were matched, and its events stored.
    #[diesel(sql_type = Array<Bool>)]
    are_unchanged: Vec<bool>,
    #[diesel(sql_type = Timestamptz)]
    created_at: OffsetDateTime,
}

impl StoredRow {
    fn is_unchanged(&self, tenant: Place) -> bool {
        element(&self.are_unchanged, tenant) == Some(&true)
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
    let mut together = publish_together(conn, &[one], &Telling::Nobody).await?;
    Ok(together.published.pop().unwrap_or(Published::NoRoom))
}

/// Stores publications in one statement and so in one commit, and tells what came of each, in order. The first one is
/// always taken, so that calling again with what there was no room for ends.
///
/// # Errors
///
/// [`StoreError`], of which any one event may be the cause; nothing is stored then. [`StoreError::Unavailable`] leaves
/// open whether the commit happened.
pub async fn publish_together(
    conn: &mut AsyncPgConnection,
    publications: &[Publication<'_>],
    telling: &Telling,
) -> Result<PublishedTogether, StoreError> {
    let mut draft = Draft::default();
    let taken: Vec<Taken> = publications.iter().map(|one| draft.take(one)).collect();
    let mut ready = std::mem::take(&mut draft.ready);
    let (told, untold) = match telling {
        Telling::Dispatchers(earlier) => {
            ready.merge(earlier);
            (ready, ReadyHint::default())
        }
        Telling::Nobody => (ReadyHint::default(), ready),
    };
    let stored = insert(conn, draft, &told).await?;
    // Of a commit in which nothing is stored nothing is told.
    let is_any_stored = stored.are_unchanged.contains(&true);
    let untold = if is_any_stored { untold } else { told };
    let outcome = |taken| match taken {
        Taken::Out(refusal) => refusal,
        Taken::In {
            tenant,
            delivery_counts,
        } if stored.is_unchanged(tenant) => Published::Stored {
            created_at: stored.created_at,
            delivery_counts,
        },
        Taken::In { .. } => Published::SubscriptionsChanged,
    };
    let published = taken.into_iter().map(outcome).collect();
    Ok(PublishedTogether { published, untold })
}

async fn insert(
    conn: &mut AsyncPgConnection,
    draft: Draft<'_>,
    told: &ReadyHint,
) -> Result<StoredRow, StoreError> {
    let Draft {
        tenants,
        events,
        deliveries,
        ..
    } = draft;
    let rows = statement(include_str!("sql/publish.sql"))
        .bind::<Array<Uuid>, _>(tenants.ids)
        .bind::<Array<BigInt>, _>(tenants.versions)
        .bind::<Array<Integer>, _>(events.tenants)
        .bind::<Array<Uuid>, _>(events.ids)
        .bind::<Array<Text>, _>(events.types)
        .bind::<Array<Nullable<Text>>, _>(events.groups)
        .bind::<Array<Binary>, _>(events.payloads)
        .bind::<Array<Integer>, _>(deliveries.tenants)
        .bind::<Array<Uuid>, _>(deliveries.ids)
        .bind::<Array<Uuid>, _>(deliveries.event_ids)
        .bind::<Array<Uuid>, _>(deliveries.endpoint_ids)
        .bind::<Array<BigInt>, _>(deliveries.owners)
        .bind::<Array<Uuid>, _>(deliveries.attempt_ids)
        .bind::<Array<Bool>, _>(deliveries.are_sent)
        .bind::<Array<Text>, _>(deliveries.event_types)
        .bind::<Array<Nullable<Text>>, _>(deliveries.event_groups)
        .bind::<Array<Integer>, _>(deliveries.payload_bytes)
        .bind::<Text, _>(notifications::READY)
        .bind::<Nullable<Text>, _>((!told.is_nowhere()).then(|| told.to_string()))
        .load(conn)
        .await?;
    only_row(rows).ok_or_else(|| StoreError::Corrupt("publishing has returned no row".to_owned()))
}

#[derive(diesel::QueryableByName)]
struct FoundRow {
    #[diesel(sql_type = Timestamptz)]
    created_at: OffsetDateTime,
    #[diesel(sql_type = BigInt)]
    delivery_count: i64,
}

/// Finds out what publishing an event has stored, when the answer was lost: its time and the number of its deliveries.
/// The event is locked, so that this commit waits for what that one may not have waited for: a synchronous standby.
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
    let rows: Vec<FoundRow> = statement(
        "SELECT created_at,
                -- In the order of all the index's columns, so that the planner has one way to go.
                (SELECT count(*) FROM (
                     SELECT FROM deliveries
                     WHERE tenant_id = $1 AND event_id >= $2 AND event_id <= $2
                       AND replay_of_delivery_id IS NULL
                     ORDER BY tenant_id, event_id, id) of_event) AS delivery_count
         FROM events
         WHERE tenant_id = $1 AND id = $2
         FOR KEY SHARE",
    )
    .bind::<Uuid, _>(tenant_id.as_uuid())
    .bind::<Uuid, _>(id.as_uuid())
    .load(conn)
    .await?;
    let read = |row: FoundRow| {
        let count = stored("number of deliveries", usize::try_from(row.delivery_count))?;
        Ok((row.created_at, count))
    };
    only_row(rows).map(read).transpose()
}
