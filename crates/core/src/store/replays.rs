//! Replays: new deliveries of old events.

use diesel::OptionalExtension;
use diesel::prelude::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use super::deliveries::DeliveryRow;
use super::endpoints::read_status;
use super::statement::{Bind, statement};
use super::{StoreError, notifications};
use crate::delivery::{Delivery, DeliveryStatus, ReplaySource};
use crate::event_type::EventGroup;
use crate::ids::{AttemptId, DeliveryId, TenantId};

/// How soon a replay is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// In its endpoint's order.
    Normal,
    /// Before everything else: somebody waits for it.
    Express,
}

#[derive(QueryableByName)]
struct SourceRow {
    #[diesel(embed)]
    delivery: DeliveryRow,
    #[diesel(sql_type = Bool)]
    is_leased: bool,
    #[diesel(sql_type = Text)]
    endpoint_status: String,
    #[diesel(sql_type = Nullable<Text>)]
    disabled_reason: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    payload_bytes: Option<i32>,
}

/// Finds a delivery with what decides whether it can be replayed, in one snapshot.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or a row can't be read.
pub async fn find_source(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    id: DeliveryId,
) -> Result<Option<ReplaySource>, StoreError> {
    let row: Option<SourceRow> = statement(include_str!("sql/find_replay_source.sql"))
        .bind::<Uuid, _>(tenant_id.as_uuid())
        .bind::<Uuid, _>(id.as_uuid())
        .get_result(conn)
        .await
        .optional()?;
    row.map(|row| {
        Ok(ReplaySource {
            delivery: row.delivery.read(row.is_leased)?,
            endpoint_status: read_status(&row.endpoint_status, row.disabled_reason)?,
            payload_bytes: row.payload_bytes,
        })
    })
    .transpose()
}

#[derive(QueryableByName)]
struct InsertedRow {
    #[diesel(sql_type = Timestamptz)]
    created_at: OffsetDateTime,
}

/// Makes the replay of a delivery that [`ReplaySource::check`] lets through, with its queue row. `None`, and nothing
/// made, if the endpoint has been disabled since. Of a normal one the caller tells the dispatchers: NOTIFY takes a lock at
/// commit, and one for many replays will do.
///
/// # Errors
///
/// [`StoreError`]. [`StoreError::Unavailable`] leaves open whether the commit happened.
pub async fn insert(
    conn: &mut AsyncPgConnection,
    source: &ReplaySource,
    urgency: Urgency,
) -> Result<Option<Delivery>, StoreError> {
    let original = &source.delivery;
    let (id, attempt_id) = (DeliveryId::new(), AttemptId::new());
    let inserted: Option<InsertedRow> = statement(include_str!("sql/insert_replay.sql"))
        .bind::<Uuid, _>(original.tenant_id.as_uuid())
        .bind::<Uuid, _>(id.as_uuid())
        .bind::<Uuid, _>(original.endpoint_id.as_uuid())
        .bind::<Uuid, _>(original.event_id.as_uuid())
        .bind::<BigInt, _>(original.owner.0)
        .bind::<Text, _>(original.event_type.as_str())
        .bind::<Nullable<Text>, _>(original.event_group.as_ref().map(EventGroup::as_str))
        .bind::<Uuid, _>(attempt_id.as_uuid())
        .bind::<Uuid, _>(original.first_delivery_id.as_uuid())
        .bind::<Uuid, _>(original.id.as_uuid())
        .bind::<Integer, _>(source.payload_bytes.unwrap_or(0))
        .bind::<Bool, _>(urgency == Urgency::Express)
        .bind::<Text, _>(notifications::EXPRESS)
        .get_result(conn)
        .await
        .optional()?;
    Ok(inserted.map(|row| Delivery {
        id,
        status: DeliveryStatus::Pending,
        attempt_count: 0,
        attempt_id,
        attempt_enqueued_at: row.created_at,
        replay_of: Some(original.id),
        next_retry_at: None,
        last_attempt_at: None,
        delivered_at: None,
        final_http_status: None,
        error_message: None,
        created_at: row.created_at,
        updated_at: row.created_at,
        ..original.clone()
    }))
}
