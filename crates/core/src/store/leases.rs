//! Ending leases: with a result, by giving them back, or because their holder is gone.
//!
//! Every write names the lease token. A row whose token is another's, or none, does not change, and its result is
//! dropped: another dispatcher has the delivery now.

use std::collections::HashSet;
use std::time::Duration;

use diesel::sql_types::{self, Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::statement::{Bind, statement};
use super::{StoreError, attempts, endpoint_health, endpoints, notifications};
use crate::attempt::Attempt;
use crate::attempt_answer::AttemptAnswer;
use crate::ids::{AttemptId, DeliveryId, DispatcherId, EndpointId, LeaseToken, TenantId};
use crate::retry::{Decision, FailReason};

/// An attempt that has ended, and what follows from it.
#[derive(Clone, Debug)]
pub struct FinishedAttempt {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Its endpoint.
    pub endpoint_id: EndpointId,
    /// The version of the endpoint that was asked: what it answers says nothing of a later one.
    pub endpoint_version: i64,
    /// The lease under which the attempt was made.
    pub lease_token: LeaseToken,
    /// Whether somebody waits for it.
    pub is_express: bool,
    /// What happened.
    pub attempt: Attempt,
    /// What follows.
    pub decision: Decision,
}

impl FinishedAttempt {
    fn status(&self) -> &'static str {
        match self.decision {
            Decision::Delivered => "delivered",
            Decision::Retry { .. } => "retrying",
            Decision::Failed { .. } => "failed",
        }
    }

    /// Time until the next attempt, or `None` when there is none.
    fn retry_after(&self) -> Option<Duration> {
        match self.decision {
            Decision::Retry { after } => Some(after),
            Decision::Delivered | Decision::Failed { .. } => None,
        }
    }

    /// Whether the receiver answered 410.
    pub(super) fn is_gone(&self) -> bool {
        matches!(
            self.decision,
            Decision::Failed {
                reason: FailReason::Gone
            }
        )
    }

    /// What the delivery shows: the last attempt's error, and why there is no further one.
    fn error_message(&self) -> Option<String> {
        let error = self.attempt.error.as_ref()?;
        Some(match self.decision {
            Decision::Delivered | Decision::Retry { .. } => error.message.clone(),
            Decision::Failed { reason } => match reason {
                FailReason::AttemptsUsedUp => {
                    let number = self.attempt.number;
                    let attempts = if number == 1 { "attempt" } else { "attempts" };
                    format!(
                        "Gave up after {number} {attempts}; the last one: {}",
                        error.message
                    )
                }
                FailReason::Gone => {
                    "The receiver answered 410 Gone; its endpoint was disabled".to_owned()
                }
                FailReason::PayloadExpired => error.message.clone(),
            },
        })
    }
}

#[derive(diesel::QueryableByName)]
struct HeldRow {
    #[diesel(sql_type = sql_types::Uuid)]
    lease_token: Uuid,
}

/// Records attempts together with the states that follow from them, in one transaction: all or nothing. Returns how
/// many were recorded; the others came too late, their leases being another's, and changed nothing.
///
/// # Errors
///
/// [`StoreError`]. [`StoreError::Unavailable`] leaves open whether the commit happened; calling again is safe, since
/// what was recorded is no longer leased.
pub async fn finish(
    conn: &mut AsyncPgConnection,
    dispatcher_id: DispatcherId,
    finished: &[FinishedAttempt],
) -> Result<usize, StoreError> {
    conn.transaction(async |conn| finish_in_transaction(conn, dispatcher_id, finished).await)
        .await
}

/// [`finish`] in the caller's transaction.
pub(super) async fn finish_in_transaction(
    conn: &mut AsyncPgConnection,
    dispatcher_id: DispatcherId,
    finished: &[FinishedAttempt],
) -> Result<usize, StoreError> {
    let next_attempts: Vec<AttemptId> = finished.iter().map(|_| AttemptId::new()).collect();
    let held = end_leases(conn, finished, &next_attempts).await?;
    let held: Vec<(&FinishedAttempt, AttemptId)> = finished
        .iter()
        .zip(next_attempts)
        .filter(|(one, _)| held.contains(&one.lease_token))
        .collect();
    if held.is_empty() {
        return Ok(0);
    }
    let ended: Vec<_> = held
        .iter()
        .map(|(one, _)| (one.tenant_id, one.delivery_id, &one.attempt))
        .collect();
    attempts::insert(conn, dispatcher_id, &ended).await?;
    change_deliveries(conn, &held).await?;
    endpoint_health::note(conn, held.iter().map(|(one, _)| *one)).await?;
    disable_gone(conn, &held).await?;
    let awaited: Vec<String> = held
        .iter()
        .filter(|(one, _)| one.is_express)
        .map(|(one, _)| AttemptAnswer::from(&one.attempt).to_string())
        .collect();
    if !awaited.is_empty() {
        statement("SELECT pg_notify($1, answer) FROM unnest($2::text[]) AS answer")
            .bind::<Text, _>(notifications::RECORDED)
            .bind::<Array<Text>, _>(awaited)
            .execute(conn)
            .await?;
    }
    Ok(held.len())
}

/// Deletes or reschedules the queue rows whose leases are still ours, and says which those were.
async fn end_leases(
    conn: &mut AsyncPgConnection,
    finished: &[FinishedAttempt],
    next_attempts: &[AttemptId],
) -> Result<HashSet<LeaseToken>, StoreError> {
    let delays: Vec<Option<i64>> = finished
        .iter()
        .map(|one| {
            one.retry_after()
                .map(|after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX))
        })
        .collect();
    let rows: Vec<HeldRow> = statement(include_str!("sql/end_leases.sql"))
        .bind::<Array<sql_types::Uuid>, _>(
            finished
                .iter()
                .map(|one| one.tenant_id.as_uuid())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<sql_types::Uuid>, _>(
            finished
                .iter()
                .map(|one| one.delivery_id.as_uuid())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<sql_types::Uuid>, _>(
            finished
                .iter()
                .map(|one| one.lease_token.0)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<BigInt>>, _>(delays)
        .bind::<Array<sql_types::Uuid>, _>(
            next_attempts
                .iter()
                .map(|id| id.as_uuid())
                .collect::<Vec<_>>(),
        )
        .load(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| LeaseToken(row.lease_token))
        .collect())
}

async fn change_deliveries(
    conn: &mut AsyncPgConnection,
    held: &[(&FinishedAttempt, AttemptId)],
) -> Result<(), StoreError> {
    fn column<T>(
        held: &[(&FinishedAttempt, AttemptId)],
        value: impl Fn(&FinishedAttempt) -> T,
    ) -> Vec<T> {
        held.iter().map(|(one, _)| value(one)).collect()
    }
    statement(include_str!("sql/change_deliveries.sql"))
        .bind::<Array<sql_types::Uuid>, _>(column(held, |one| one.tenant_id.as_uuid()))
        .bind::<Array<sql_types::Uuid>, _>(column(held, |one| one.delivery_id.as_uuid()))
        .bind::<Array<Text>, _>(column(held, FinishedAttempt::status))
        .bind::<Array<Integer>, _>(column(held, |one| {
            i32::try_from(one.attempt.number).unwrap_or(i32::MAX)
        }))
        .bind::<Array<sql_types::Uuid>, _>(
            held.iter()
                .map(|(_, next)| next.as_uuid())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Timestamptz>, _>(column(held, |one| one.attempt.started_at))
        .bind::<Array<Nullable<BigInt>>, _>(column(held, |one| {
            one.retry_after()
                .map(|after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX))
        }))
        .bind::<Array<Nullable<Integer>>, _>(column(held, |one| {
            one.attempt.answered_status().map(i32::from)
        }))
        .bind::<Array<Nullable<Text>>, _>(column(held, FinishedAttempt::error_message))
        .execute(conn)
        .await?;
    Ok(())
}

/// Disables the endpoints that answered 410. [`endpoint_health::note`] has locked all of them, before the first of
/// their tenants is locked here: whoever changes an endpoint locks it first and its tenant then.
async fn disable_gone(
    conn: &mut AsyncPgConnection,
    held: &[(&FinishedAttempt, AttemptId)],
) -> Result<(), StoreError> {
    let mut gone: Vec<(TenantId, EndpointId, i64)> = held
        .iter()
        .filter(|(one, _)| one.is_gone())
        .map(|(one, _)| (one.tenant_id, one.endpoint_id, one.endpoint_version))
        .collect();
    gone.sort_unstable();
    gone.dedup();
    for (tenant_id, endpoint_id, version) in gone {
        endpoints::disable(
            conn,
            tenant_id,
            endpoint_id,
            version,
            "The receiver answered 410 Gone",
        )
        .await?;
    }
    Ok(())
}

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
        .bind::<Array<BigInt>, _>(column(unused, |one| {
            i64::try_from(one.wait.as_millis()).unwrap_or(i64::MAX)
        }))
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
        "SELECT EXISTS (
             SELECT FROM delivery_queue
             WHERE due_at > now() AND due_at < now() + interval '2 minutes' AND lease_token IS NOT NULL
               AND tenant_id = $1 AND endpoint_id = $2) AS any",
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
