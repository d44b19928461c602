//! Replays: new deliveries of old events.

use diesel::OptionalExtension;
use diesel::prelude::QueryableByName;
use diesel::sql_types::{Bool, Integer, Nullable, Text, Uuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::deliveries::DeliveryRow;
use super::endpoints::read_status;
use super::statement::{Bind, statement};
use super::{StoreError, notifications, only_row, stored};
use crate::delivery::{Delivery, DeliveryStatus, ReplaySource};
use crate::ids::{AttemptId, DeliveryId, EndpointId, TenantId};

/// How soon a replay is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// In its endpoint's order.
    Normal,
    /// Before everything else: somebody waits for it.
    Express,
}

/// What is to be replayed, and how.
#[derive(Clone, Copy, Debug)]
pub struct ReplayOrder {
    /// The delivery that is named.
    pub delivery_id: DeliveryId,
    /// The endpoint that it must belong to, where one is named. A request of B's family is named then: its first
    /// delivery decides, whichever of its deliveries is.
    pub endpoint_id: Option<EndpointId>,
    /// How soon.
    pub urgency: Urgency,
}

#[derive(QueryableByName)]
struct SourceRow {
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Bool)]
    is_leased: bool,
    #[diesel(sql_type = Text)]
    endpoint_status: String,
    #[diesel(sql_type = Nullable<Text>)]
    disabled_reason: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    payload_bytes: Option<i32>,
}

/// Finds what decides whether a replay can be made, in one snapshot. `None` when there is no such delivery.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or a row can't be read.
pub async fn find_source(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    order: &ReplayOrder,
) -> Result<Option<ReplaySource>, StoreError> {
    let row: Option<SourceRow> = statement(include_str!("sql/find_replay_source.sql"))
        .bind::<Uuid, _>(tenant_id.as_uuid())
        .bind::<Uuid, _>(order.delivery_id.as_uuid())
        .bind::<Nullable<Uuid>, _>(order.endpoint_id.map(EndpointId::as_uuid))
        .get_result(conn)
        .await
        .optional()?;
    row.map(|row| {
        let kept: DeliveryStatus = stored("delivery status", row.status.parse())?;
        Ok(ReplaySource {
            status: kept.with_lease(row.is_leased),
            endpoint_status: read_status(&row.endpoint_status, row.disabled_reason)?,
            payload_bytes: row.payload_bytes,
        })
    })
    .transpose()
}

#[derive(QueryableByName)]
struct MadeRow {
    #[diesel(embed)]
    delivery: DeliveryRow,
}

/// Makes the replay of a delivery, with its queue row, in one statement. `None`, and nothing made, where there is no
/// such delivery, or [`ReplaySource::check`] forbids it: [`find_source`] tells which. Of a normal one the caller tells
/// the dispatchers: NOTIFY takes a lock at commit, and one for many replays will do.
///
/// # Errors
///
/// [`StoreError`]. [`StoreError::Unavailable`] leaves open whether the commit happened.
pub async fn make(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    order: &ReplayOrder,
) -> Result<Option<Delivery>, StoreError> {
    let rows: Vec<MadeRow> = statement(include_str!("sql/make_replay.sql"))
        .bind::<Uuid, _>(tenant_id.as_uuid())
        .bind::<Uuid, _>(order.delivery_id.as_uuid())
        .bind::<Nullable<Uuid>, _>(order.endpoint_id.map(EndpointId::as_uuid))
        .bind::<Uuid, _>(DeliveryId::new_above(order.delivery_id).as_uuid())
        .bind::<Uuid, _>(AttemptId::new().as_uuid())
        .bind::<Bool, _>(order.urgency == Urgency::Express)
        .bind::<Text, _>(notifications::EXPRESS)
        .load(conn)
        .await?;
    only_row(rows)
        .map(|row| row.delivery.read(false))
        .transpose()
}
