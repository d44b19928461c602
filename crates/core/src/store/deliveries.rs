//! Deliveries: reading them. They are made by [`events`](super::events) and [`replays`](super::replays), and changed
//! by [`leases`](super::leases) and [`settling`](super::settling).

use diesel::dsl::{not, sql};
use diesel::prelude::{Queryable, Selectable};
use diesel::sql_types::Bool;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl,
    SelectableHelper,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;
use uuid::Uuid;

use super::schema::{deliveries, delivery_queue};
use super::{StoreError, stored};
use crate::delivery::{Delivery, DeliveryStatus};
use crate::event_type::{EventGroup, EventType};
use crate::ids::{AttemptId, DeliveryId, EndpointId, EventId, TenantId, UserId, first_uuid_at};

#[derive(Queryable, Selectable)]
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
        let is_delivering = is_leased && !stored_status.is_terminal();
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
            status: if is_delivering {
                DeliveryStatus::Delivering
            } else {
                stored_status
            },
            attempt_count: stored("attempt count", u32::try_from(self.attempt_count))?,
            attempt_id: AttemptId::from_uuid(self.attempt_id),
            attempt_enqueued_at: self.attempt_enqueued_at,
            first_delivery_id: DeliveryId::from_uuid(self.first_delivery_id),
            replay_of: self.replay_of_delivery_id.map(DeliveryId::from_uuid),
            next_retry_at: if is_delivering {
                None
            } else {
                self.next_retry_at
            },
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

/// Which deliveries to list. What is `None` does not filter.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// To this endpoint.
    pub endpoint_id: Option<EndpointId>,
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
/// the database's. The bound on ids only spares work; the one on `created_at` is exact.
const CLOCK_SLACK: time::Duration = time::Duration::MINUTE;

/// Whether a dispatcher works on the joined queue row now; false when there is no such row.
pub(super) fn is_leased() -> diesel::expression::SqlLiteral<Bool> {
    sql("(delivery_queue.lease_token IS NOT NULL AND delivery_queue.due_at > now())")
}

/// Lists deliveries of a tenant, newest first, from before an id.
///
/// Indexes: `deliveries_endpoint_idx`, `deliveries_type_idx`, `deliveries_undelivered_idx` for the filters of those
/// names, else the primary key; newest partition first.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or a row can't be read.
pub async fn list(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    filter: &DeliveryFilter,
    before: Option<DeliveryId>,
    limit: i64,
) -> Result<Vec<Delivery>, StoreError> {
    let mut query = deliveries::table
        .left_join(
            delivery_queue::table.on(delivery_queue::tenant_id
                .eq(deliveries::tenant_id)
                .and(delivery_queue::delivery_id.eq(deliveries::id))),
        )
        .filter(deliveries::tenant_id.eq(tenant_id.as_uuid()))
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(deliveries::id.lt(before.as_uuid()));
    }
    if let Some(endpoint_id) = filter.endpoint_id {
        query = query.filter(deliveries::endpoint_id.eq(endpoint_id.as_uuid()));
    }
    query = match filter.status {
        None => query,
        Some(DeliveryStatus::Delivering) => query.filter(is_leased()),
        Some(status @ (DeliveryStatus::Pending | DeliveryStatus::Retrying)) => query
            .filter(deliveries::status.eq(status.as_str()))
            .filter(not(is_leased())),
        Some(
            status @ (DeliveryStatus::Delivered
            | DeliveryStatus::Failed
            | DeliveryStatus::Canceled
            | DeliveryStatus::Skipped),
        ) => query.filter(deliveries::status.eq(status.as_str())),
    };
    if let Some(event_type) = &filter.event_type {
        query = query.filter(deliveries::event_type.eq(event_type.as_str().to_owned()));
    }
    if let Some(group) = &filter.event_group {
        query = query.filter(deliveries::event_group.eq(group.as_str().to_owned()));
    }
    if let Some(after) = filter.created_after {
        query = query
            .filter(deliveries::created_at.ge(after))
            .filter(deliveries::id.ge(first_uuid_at(after.saturating_sub(CLOCK_SLACK))));
    }
    if let Some(until) = filter.created_before {
        query = query
            .filter(deliveries::created_at.lt(until))
            .filter(deliveries::id.lt(first_uuid_at(until.saturating_add(CLOCK_SLACK))));
    }
    if let Some(status) = filter.http_status {
        query = query.filter(deliveries::final_http_status.eq(i32::from(status)));
    }
    if let Some(replayed) = filter.replay_of {
        query = query.filter(deliveries::replay_of_delivery_id.eq(replayed.as_uuid()));
    }
    let rows: Vec<(DeliveryRow, bool)> = query
        .order(deliveries::id.desc())
        .limit(limit)
        .select((DeliveryRow::as_select(), is_leased()))
        .load(conn)
        .await?;
    rows.into_iter()
        .map(|(row, is_leased)| row.read(is_leased))
        .collect()
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
    let row: Option<(DeliveryRow, bool)> = deliveries::table
        .left_join(
            delivery_queue::table.on(delivery_queue::tenant_id
                .eq(deliveries::tenant_id)
                .and(delivery_queue::delivery_id.eq(deliveries::id))),
        )
        .filter(
            deliveries::tenant_id
                .eq(tenant_id.as_uuid())
                .and(deliveries::id.eq(id.as_uuid())),
        )
        .select((DeliveryRow::as_select(), is_leased()))
        .first(conn)
        .await
        .optional()?;
    row.map(|(row, is_leased)| row.read(is_leased)).transpose()
}
