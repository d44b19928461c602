//! Lists of deliveries, newest first, each page in bounded time.

mod statements;

use diesel::prelude::QueryableByName;
use diesel::sql_types::{self, BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;
use uuid::Uuid;

use super::StoreError;
use super::deliveries::DeliveryRow;
use super::scan::{ScannedPage, ScannedRow};
use super::statement::{Bind, statement};
use crate::delivery::{Delivery, DeliveryStatus};
use crate::event_type::{EventGroup, EventType};
use crate::ids::{DeliveryId, EndpointId, EventId, TenantId, first_uuid_at};
use statements::{
    BY_ENDPOINT, BY_EVENT, BY_ID, BY_QUEUE, BY_REPLAY, BY_TYPE, BY_UNSUCCESSFUL_AT_ENDPOINT,
    BY_UNSUCCESSFUL_STATUS, ByIndex,
};

/// Which deliveries to list. What is `None` does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// To this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// Of this event.
    pub event_id: Option<EventId>,
    /// In this status.
    pub status: Option<DeliveryStatus>,
    /// Of an event of this type.
    pub event_type: Option<EventType>,
    /// Of an event of this group.
    pub event_group: Option<EventGroup>,
    /// Made at this instant or later.
    pub created_after: Option<OffsetDateTime>,
    /// Made before this instant.
    pub created_before: Option<OffsetDateTime>,
    /// Ended with this answer of the receiver.
    pub http_status: Option<u16>,
    /// Replays that were asked for of this delivery.
    pub replay_of: Option<DeliveryId>,
}

/// How far an id's time may be from its row's `created_at`: the one is the clock of the API's machine, the other
/// the database's. The bound on ids only spares work; the one on `created_at` is exact. Longer, and a busy tenant's
/// pages begin with rows that are passed over; shorter, and a clock that is off hides rows.
pub(super) const CLOCK_SLACK: time::Duration = time::Duration::seconds(5);

/// What leads to the deliveries in a status.
enum StatusIndex {
    /// The queue holds them, and does not tell `pending`, `retrying` and `delivering` apart.
    Queue,
    /// Indexes of their own.
    Unsuccessful,
    /// Nothing: they are most of all.
    Nothing,
}

const fn status_index(status: DeliveryStatus) -> StatusIndex {
    match status {
        DeliveryStatus::Pending | DeliveryStatus::Retrying | DeliveryStatus::Delivering => {
            StatusIndex::Queue
        }
        DeliveryStatus::Failed | DeliveryStatus::Canceled | DeliveryStatus::Skipped => {
            StatusIndex::Unsuccessful
        }
        DeliveryStatus::Delivered => StatusIndex::Nothing,
    }
}

impl DeliveryFilter {
    /// The statement whose index leaves the fewest rows to filter.
    fn statement(&self) -> &'static str {
        let (by_index, known_to_index) = self.by_index();
        if *self == known_to_index {
            by_index.plain
        } else {
            by_index.filtered
        }
    }

    /// The index to read by, and the part of the filter that it alone sees to.
    fn by_index(&self) -> (ByIndex, Self) {
        let nothing = Self::default();
        if self.event_id.is_some() {
            let event_id = self.event_id;
            return (
                BY_EVENT,
                Self {
                    event_id,
                    ..nothing
                },
            );
        }
        if self.replay_of.is_some() {
            return (BY_REPLAY, nothing);
        }
        let (endpoint_id, status) = (self.endpoint_id, self.status);
        match (
            endpoint_id,
            status.map_or(StatusIndex::Nothing, status_index),
        ) {
            (Some(_), StatusIndex::Unsuccessful) => {
                let known = Self {
                    endpoint_id,
                    status,
                    ..nothing
                };
                (BY_UNSUCCESSFUL_AT_ENDPOINT, known)
            }
            (Some(_), StatusIndex::Queue | StatusIndex::Nothing) => (
                BY_ENDPOINT,
                Self {
                    endpoint_id,
                    ..nothing
                },
            ),
            (None, StatusIndex::Unsuccessful) => {
                (BY_UNSUCCESSFUL_STATUS, Self { status, ..nothing })
            }
            (None, StatusIndex::Queue) => (BY_QUEUE, nothing),
            (None, StatusIndex::Nothing) if self.event_type.is_some() => {
                let event_type = self.event_type.clone();
                (
                    BY_TYPE,
                    Self {
                        event_type,
                        ..nothing
                    },
                )
            }
            (None, StatusIndex::Nothing) => (BY_ID, nothing),
        }
    }

    /// The stored status, and whether the delivery must be leased: `delivering` is a lease, not a stored status.
    fn status(&self) -> (Option<&'static str>, Option<bool>) {
        match self.status {
            None => (None, None),
            Some(DeliveryStatus::Delivering) => (None, Some(true)),
            Some(status @ (DeliveryStatus::Pending | DeliveryStatus::Retrying)) => {
                (Some(status.as_str()), Some(false))
            }
            Some(
                status @ (DeliveryStatus::Delivered
                | DeliveryStatus::Failed
                | DeliveryStatus::Canceled
                | DeliveryStatus::Skipped),
            ) => (Some(status.as_str()), None),
        }
    }

    /// The smallest id that can pass: of the time filtered by, or of the event, which is older than its deliveries.
    fn first_id(&self) -> Uuid {
        let by_time = self
            .created_after
            .map(|after| first_uuid_at(after.saturating_sub(CLOCK_SLACK)));
        let by_event = self.event_id.and_then(|id| {
            let (seconds, nanoseconds) = id.as_uuid().get_timestamp()?.to_unix();
            let seconds = i64::try_from(seconds).ok()?;
            let made_at = OffsetDateTime::from_unix_timestamp(seconds).ok()?
                + std::time::Duration::from_nanos(nanoseconds.into());
            Some(first_uuid_at(made_at.saturating_sub(CLOCK_SLACK)))
        });
        by_time.max(by_event).unwrap_or(Uuid::nil())
    }

    /// The id below which all lie that can pass.
    fn end_id(&self, before: Option<DeliveryId>) -> Uuid {
        let by_time = self
            .created_before
            .map(|until| first_uuid_at(until.saturating_add(CLOCK_SLACK)));
        let ends = [by_time, before.map(DeliveryId::as_uuid)];
        ends.into_iter().flatten().min().unwrap_or(Uuid::max())
    }
}

#[derive(QueryableByName)]
struct ListedRow {
    #[diesel(embed)]
    delivery: DeliveryRow,
    #[diesel(sql_type = Bool)]
    is_leased: bool,
    #[diesel(sql_type = Bool)]
    is_match: bool,
    #[diesel(sql_type = Bool)]
    is_last_scanned: bool,
}

/// Lists deliveries of a tenant, newest first, from before an id. At most 1,500 rows of an index are read for a page.
///
/// Indexes: see the statements.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or a row can't be read.
pub async fn list(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    filter: &DeliveryFilter,
    before: Option<DeliveryId>,
    limit: usize,
) -> Result<ScannedPage<Delivery>, StoreError> {
    let (status, is_leased) = filter.status();
    let rows: Vec<ListedRow> = statement(filter.statement())
        .bind::<sql_types::Uuid, _>(tenant_id.as_uuid())
        .bind::<sql_types::Uuid, _>(filter.end_id(before))
        .bind::<sql_types::Uuid, _>(filter.first_id())
        .bind::<Nullable<sql_types::Uuid>, _>(filter.endpoint_id.map(EndpointId::as_uuid))
        .bind::<Nullable<Text>, _>(status)
        .bind::<Nullable<Text>, _>(filter.event_type.as_ref().map(EventType::as_str))
        .bind::<Nullable<Text>, _>(filter.event_group.as_ref().map(EventGroup::as_str))
        .bind::<Nullable<Integer>, _>(filter.http_status.map(i32::from))
        .bind::<Nullable<sql_types::Uuid>, _>(filter.replay_of.map(DeliveryId::as_uuid))
        .bind::<Nullable<Timestamptz>, _>(filter.created_after)
        .bind::<Nullable<Timestamptz>, _>(filter.created_before)
        .bind::<Nullable<Bool>, _>(is_leased)
        .bind::<Nullable<sql_types::Uuid>, _>(filter.event_id.map(EventId::as_uuid))
        .bind::<BigInt, _>(i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX))
        .load(conn)
        .await?;
    let rows = rows.into_iter().map(|row| {
        let item = row.delivery.read(row.is_leased)?;
        Ok(ScannedRow {
            id: item.id.as_uuid(),
            is_match: row.is_match,
            is_last_scanned: row.is_last_scanned,
            item,
        })
    });
    let page = ScannedPage::cut(rows.collect::<Result<_, StoreError>>()?, limit);
    Ok(page.ending_at(filter.first_id()))
}
