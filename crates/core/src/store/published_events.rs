//! Reading events. They are stored by [`events`](super::events).

use diesel::prelude::QueryableByName;
use diesel::sql_types::{self, BigInt, Bool, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryDsl};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;
use uuid::Uuid;

use super::delivery_lists::CLOCK_SLACK;
use super::scan::{ScannedPage, ScannedRow};
use super::schema::events;
use super::statement::{Bind, statement};
use super::{StoreError, stored};
use crate::event_type::{EventGroup, EventType};
use crate::ids::{EventId, TenantId, first_uuid_at};

/// An event, without its payload.
#[derive(Clone, Debug)]
pub struct PublishedEvent {
    /// The id.
    pub id: EventId,
    /// The type.
    pub event_type: EventType,
    /// The group.
    pub event_group: Option<EventGroup>,
    /// When it was stored.
    pub created_at: OffsetDateTime,
}

/// Which events to list. What is `None` does not filter.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of this type.
    pub event_type: Option<EventType>,
    /// Of this group.
    pub event_group: Option<EventGroup>,
    /// Stored at this instant or later.
    pub created_after: Option<OffsetDateTime>,
    /// Stored before this instant.
    pub created_before: Option<OffsetDateTime>,
}

#[derive(QueryableByName)]
struct ListedRow {
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    event_type: String,
    #[diesel(sql_type = Nullable<Text>)]
    event_group: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    created_at: OffsetDateTime,
    #[diesel(sql_type = Bool)]
    is_match: bool,
    #[diesel(sql_type = Bool)]
    is_last_scanned: bool,
}

fn read(
    id: Uuid,
    event_type: &str,
    event_group: Option<&str>,
    created_at: OffsetDateTime,
) -> Result<PublishedEvent, StoreError> {
    Ok(PublishedEvent {
        id: EventId::from_uuid(id),
        event_type: stored("event type", EventType::parse(event_type))?,
        event_group: event_group
            .map(|group| stored("event group", EventGroup::parse(group)))
            .transpose()?,
        created_at,
    })
}

/// Lists a tenant's events, newest first, from before an id. At most 1,500 rows are read for a page.
///
/// Index: the primary key.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or a row can't be read.
pub async fn list(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    filter: &EventFilter,
    before: Option<EventId>,
    limit: usize,
) -> Result<ScannedPage<PublishedEvent>, StoreError> {
    let first = filter
        .created_after
        .map(|after| first_uuid_at(after.saturating_sub(CLOCK_SLACK)));
    let until = filter
        .created_before
        .map(|until| first_uuid_at(until.saturating_add(CLOCK_SLACK)));
    let ends = [until, before.map(EventId::as_uuid)];
    let end = ends.into_iter().flatten().min();
    let rows: Vec<ListedRow> = statement(include_str!("sql/list_events.sql"))
        .bind::<sql_types::Uuid, _>(tenant_id.as_uuid())
        .bind::<sql_types::Uuid, _>(end.unwrap_or(Uuid::max()))
        .bind::<sql_types::Uuid, _>(first.unwrap_or(Uuid::nil()))
        .bind::<Nullable<Text>, _>(filter.event_type.as_ref().map(EventType::as_str))
        .bind::<Nullable<Text>, _>(filter.event_group.as_ref().map(EventGroup::as_str))
        .bind::<Nullable<Timestamptz>, _>(filter.created_after)
        .bind::<Nullable<Timestamptz>, _>(filter.created_before)
        .bind::<BigInt, _>(i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX))
        .load(conn)
        .await?;
    let rows = rows.into_iter().map(|row| {
        let group = row.event_group.as_deref();
        Ok(ScannedRow {
            id: row.id,
            is_match: row.is_match,
            is_last_scanned: row.is_last_scanned,
            item: read(row.id, &row.event_type, group, row.created_at)?,
        })
    });
    let page = ScannedPage::cut(rows.collect::<Result<_, StoreError>>()?, limit);
    Ok(page.ending_at(first.unwrap_or(Uuid::nil())))
}

/// Finds an event with its payload, by the primary key. `None` also once retention has removed it.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or the row can't be read.
pub async fn find(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    id: EventId,
) -> Result<Option<(PublishedEvent, Vec<u8>)>, StoreError> {
    type Row = (String, Option<String>, OffsetDateTime, Vec<u8>);
    let row: Option<Row> = events::table
        .find((tenant_id.as_uuid(), id.as_uuid()))
        .select((
            events::event_type,
            events::event_group,
            events::created_at,
            events::payload,
        ))
        .first(conn)
        .await
        .optional()?;
    row.map(|(event_type, group, created_at, payload)| {
        let event = read(id.as_uuid(), &event_type, group.as_deref(), created_at)?;
        Ok((event, payload))
    })
    .transpose()
}
