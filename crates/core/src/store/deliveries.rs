//! Deliveries: finding and canceling one. They are made by [`events`](super::events) and [`replays`](super::replays),
//! changed by [`leases`](super::leases) and [`settling`](super::settling), and listed by
//! [`delivery_lists`](super::delivery_lists).

use diesel::OptionalExtension;
use diesel::prelude::QueryableByName;
use diesel::sql_types::{self, Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;
use uuid::Uuid;

use super::schema::deliveries;
use super::statement::{Bind, statement};
use super::{StoreError, only_row, stored};
use crate::delivery::{Delivery, DeliveryStatus};
use crate::event_type::{EventGroup, EventType};
use crate::ids::{AttemptId, DeliveryId, EndpointId, EventId, TenantId, UserId};

#[derive(QueryableByName)]
#[diesel(table_name = deliveries)]
pub(super) struct DeliveryRow {
    tenant_id: Uuid,
    id: Uuid,
    endpoint_id: Uuid,
    event_id: Uuid,
    user_id: i64,
    event_type: String,
    event_group: Option<String>,
    status: String,
    attempt_count: i32,
    attempt_id: Uuid,
    attempt_enqueued_at: OffsetDateTime,
    first_delivery_id: Uuid,
    replay_of_delivery_id: Option<Uuid>,
    next_retry_at: Option<OffsetDateTime>,
    last_attempt_at: Option<OffsetDateTime>,
    delivered_at: Option<OffsetDateTime>,
    final_http_status: Option<i32>,
    error_message: Option<String>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl DeliveryRow {
    /// The delivery; a live lease makes an unfinished one `delivering`.
    pub(super) fn read(self, is_leased: bool) -> Result<Delivery, StoreError> {
        let stored_status: DeliveryStatus = stored("delivery status", self.status.parse())?;
        let status = stored_status.with_lease(is_leased);
        Ok(Delivery {
            tenant_id: TenantId::from_uuid(self.tenant_id),
            id: DeliveryId::from_uuid(self.id),
            endpoint_id: EndpointId::from_uuid(self.endpoint_id),
            owner: UserId(self.user_id),
            event_id: EventId::from_uuid(self.event_id),
            event_type: stored("event type", EventType::parse(&self.event_type))?,
            event_group: self
                .event_group
                .map(|group| stored("event group", EventGroup::parse(&group)))
                .transpose()?,
            status,
            attempt_count: stored("attempt count", u32::try_from(self.attempt_count))?,
            attempt_id: AttemptId::from_uuid(self.attempt_id),
            attempt_enqueued_at: self.attempt_enqueued_at,
            first_delivery_id: DeliveryId::from_uuid(self.first_delivery_id),
            replay_of: self.replay_of_delivery_id.map(DeliveryId::from_uuid),
            next_retry_at: self
                .next_retry_at
                .filter(|_| status != DeliveryStatus::Delivering),
            last_attempt_at: self.last_attempt_at,
            delivered_at: self.delivered_at,
            final_http_status: self
                .final_http_status
                .map(|status| stored("HTTP status", u16::try_from(status)))
                .transpose()?,
            error_message: self.error_message,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

#[derive(QueryableByName)]
struct FoundRow {
    #[diesel(embed)]
    delivery: DeliveryRow,
    #[diesel(sql_type = Bool)]
    is_leased: bool,
}

/// Finds a delivery of a tenant, by the primary key.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or the row can't be read.
pub async fn find(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    id: DeliveryId,
) -> Result<Option<Delivery>, StoreError> {
    let row: Option<FoundRow> = statement(
        "SELECT deliveries.*,
                coalesce(queued.lease_token IS NOT NULL AND queued.due_at > now(), false) AS is_leased
         FROM deliveries
         LEFT JOIN delivery_queue queued ON queued.tenant_id = $1 AND queued.delivery_id = $2
         WHERE deliveries.tenant_id = $1 AND deliveries.id = $2",
    )
    .bind::<sql_types::Uuid, _>(tenant_id.as_uuid())
    .bind::<sql_types::Uuid, _>(id.as_uuid())
    .get_result(conn)
    .await
    .optional()?;
    row.map(|row| row.delivery.read(row.is_leased)).transpose()
}

#[derive(QueryableByName)]
struct CanceledRow {
    #[diesel(embed)]
    delivery: DeliveryRow,
}

/// Cancels a delivery that waits for an attempt, in one statement: its queue row goes, so that nobody can claim it any
/// more. `None`, and nothing changed, when there is no such delivery, or it is leased or has ended.
///
/// # Errors
///
/// [`StoreError`]. [`StoreError::Unavailable`] leaves open whether it was canceled.
pub async fn cancel(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    id: DeliveryId,
    reason: &str,
) -> Result<Option<Delivery>, StoreError> {
    let rows: Vec<CanceledRow> = statement(include_str!("sql/cancel_delivery.sql"))
        .bind::<sql_types::Uuid, _>(tenant_id.as_uuid())
        .bind::<sql_types::Uuid, _>(id.as_uuid())
        .bind::<Text, _>(reason)
        .load(conn)
        .await?;
    only_row(rows)
        .map(|row| row.delivery.read(false))
        .transpose()
}
