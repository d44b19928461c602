//! Leases that end without a result: given back unused. Those that end with one are in [`recording`](super::recording).

use std::time::Duration;

use diesel::sql_types::{self, Array, BigInt, Bool};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::statement::{Bind, statement};
use super::{StoreError, whole_milliseconds};
use crate::ids::{DeliveryId, DispatcherId, EndpointId, LeaseToken, TenantId};

/// A lease that is given back unused, and how long its delivery waits before it may be claimed again.
#[derive(Clone, Copy, Debug)]
pub struct UnusedLease {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The lease; one that has ended meanwhile is not touched.
    pub lease_token: LeaseToken,
    /// Zero for at once.
    pub wait: Duration,
}

/// Gives back leases under which nothing was sent, without costing the deliveries an attempt.
///
/// # Errors
///
/// [`StoreError`]; the leases then end by themselves.
pub async fn give_back(
    conn: &mut AsyncPgConnection,
    unused: &[UnusedLease],
) -> Result<(), StoreError> {
    fn column<T>(unused: &[UnusedLease], value: impl Fn(&UnusedLease) -> T) -> Vec<T> {
        unused.iter().map(value).collect()
    }
    statement(include_str!("sql/give_back.sql"))
        .bind::<Array<sql_types::Uuid>, _>(column(unused, |one| one.tenant_id.as_uuid()))
        .bind::<Array<sql_types::Uuid>, _>(column(unused, |one| one.delivery_id.as_uuid()))
        .bind::<Array<sql_types::Uuid>, _>(column(unused, |one| one.lease_token.0))
        .bind::<Array<BigInt>, _>(column(unused, |one| whole_milliseconds(one.wait)))
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(diesel::QueryableByName)]
struct AnyRow {
    #[diesel(sql_type = Bool)]
    any: bool,
}

/// Whether a dispatcher works on a delivery to this endpoint now.
///
/// Index: the part of `delivery_queue_waiting_idx` in which leases end.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn is_any_live(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    endpoint_id: EndpointId,
) -> Result<bool, StoreError> {
    let row: AnyRow = statement(
        // In the order of the index, so that the planner has one way to go.
        "SELECT (
             SELECT lease_token FROM delivery_queue
             WHERE due_at > now() AND due_at < now() + interval '2 minutes' AND lease_token IS NOT NULL
               AND tenant_id = $1 AND endpoint_id = $2
             ORDER BY due_at LIMIT 1) IS NOT NULL AS any",
    )
    .bind::<sql_types::Uuid, _>(tenant_id.as_uuid())
    .bind::<sql_types::Uuid, _>(endpoint_id.as_uuid())
    .get_result(conn)
    .await?;
    Ok(row.any)
}

/// Gives back all leases of a dispatcher that stops, without costing the deliveries an attempt. Returns their number.
///
/// # Errors
///
/// [`StoreError`]; the leases then end by themselves.
pub async fn release_all(
    conn: &mut AsyncPgConnection,
    dispatcher_id: DispatcherId,
) -> Result<usize, StoreError> {
    Ok(statement(
        "UPDATE delivery_queue
         SET due_at = NULL, lease_token = NULL, leased_by = NULL, leased_at = NULL
         WHERE due_at < now() + interval '2 minutes' AND leased_by = $1",
    )
    .bind::<sql_types::Uuid, _>(dispatcher_id.as_uuid())
    .execute(conn)
    .await?)
}

/// Gives back what a dispatcher has claimed without learning of it, the answer having been lost: nothing was sent under
/// these leases, and none costs the delivery an attempt. Returns their number.
///
/// # Errors
///
/// [`StoreError`]; the leases then end by themselves.
pub async fn release_unanswered(
    conn: &mut AsyncPgConnection,
    dispatcher_id: DispatcherId,
    claims: &[LeaseToken],
) -> Result<usize, StoreError> {
    Ok(statement(
        "UPDATE delivery_queue
         SET due_at = NULL, lease_token = NULL, leased_by = NULL, leased_at = NULL
         WHERE due_at < now() + interval '2 minutes' AND leased_by = $1 AND lease_token = ANY ($2)",
    )
    .bind::<sql_types::Uuid, _>(dispatcher_id.as_uuid())
    .bind::<Array<sql_types::Uuid>, _>(claims.iter().map(|token| token.0).collect::<Vec<_>>())
    .execute(conn)
    .await?)
}
