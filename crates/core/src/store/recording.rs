//! Recording attempts, with what follows from them for their deliveries, the queue and their endpoints.
//!
//! Every write names the lease token. A row whose token is another's, or none, does not change, and its result is
//! dropped: another dispatcher has the delivery now.

use std::collections::HashSet;

use diesel::sql_types::{self, Array, BigInt, Binary, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::attempts::write_headers;
use super::statement::{Bind, statement};
use super::{StoreError, endpoints, notifications, whole_milliseconds};
use crate::attempt::{Attempt, AttemptError, RecordedResponse};
use crate::attempt_answer::AttemptAnswer;
use crate::failpoint;
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

/// A lease: of this delivery, by this claim.
pub type Lease = (DeliveryId, LeaseToken);

impl FinishedAttempt {
    /// The lease that it ends.
    #[must_use]
    pub fn lease(&self) -> Lease {
        (self.delivery_id, self.lease_token)
    }

    fn status(&self) -> &'static str {
        match self.decision {
            Decision::Delivered => "delivered",
            Decision::Retry { .. } => "retrying",
            Decision::Failed { .. } => "failed",
        }
    }

    /// Milliseconds until the next attempt, or `None` when there is none.
    fn retry_after_ms(&self) -> Option<i64> {
        match self.decision {
            Decision::Retry { after } => Some(whole_milliseconds(after)),
            Decision::Delivered | Decision::Failed { .. } => None,
        }
    }

    /// What is told to who waits for it, if anybody does.
    fn answer(&self) -> Option<String> {
        self.is_express
            .then(|| AttemptAnswer::from(&self.attempt).to_string())
    }

    /// Whether the receiver answered 410.
    fn is_gone(&self) -> bool {
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
    delivery_id: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    lease_token: Uuid,
}

impl HeldRow {
    fn lease(self) -> Lease {
        let delivery_id = DeliveryId::from_uuid(self.delivery_id);
        (delivery_id, LeaseToken(self.lease_token))
    }
}

/// Records attempts together with the states that follow from them, in one commit: all or nothing. Returns the leases
/// of those that were recorded; the others came too late, their leases being another's, and changed nothing.
///
/// # Errors
///
/// [`StoreError`]. [`StoreError::Unavailable`] leaves open whether the commit happened; calling again is safe, since
/// what was recorded is no longer leased.
pub async fn record(
    conn: &mut AsyncPgConnection,
    dispatcher_id: DispatcherId,
    finished: &[FinishedAttempt],
) -> Result<HashSet<Lease>, StoreError> {
    if finished.iter().any(FinishedAttempt::is_gone) {
        let recording =
            async |conn: &mut _| record_in_transaction(conn, dispatcher_id, finished).await;
        return conn.transaction(recording).await;
    }
    record_held(conn, dispatcher_id, finished).await
}

/// [`record`] in the caller's transaction.
pub(super) async fn record_in_transaction(
    conn: &mut AsyncPgConnection,
    dispatcher_id: DispatcherId,
    finished: &[FinishedAttempt],
) -> Result<HashSet<Lease>, StoreError> {
    let held = record_held(conn, dispatcher_id, finished).await?;
    failpoint::hit("in_record");
    disable_gone(conn, finished, &held).await?;
    Ok(held)
}

/// Records all but what follows from a 410, in one statement. Returns the leases that were still held.
async fn record_held(
    conn: &mut AsyncPgConnection,
    dispatcher_id: DispatcherId,
    finished: &[FinishedAttempt],
) -> Result<HashSet<Lease>, StoreError> {
    fn each<T>(finished: &[FinishedAttempt], value: impl Fn(&FinishedAttempt) -> T) -> Vec<T> {
        finished.iter().map(value).collect()
    }
    fn of_response<T>(
        finished: &[FinishedAttempt],
        value: impl Fn(&RecordedResponse) -> T,
    ) -> Vec<Option<T>> {
        each(finished, |one| one.attempt.response.as_ref().map(&value))
    }
    fn of_error<T>(
        finished: &[FinishedAttempt],
        value: impl Fn(&AttemptError) -> T,
    ) -> Vec<Option<T>> {
        each(finished, |one| one.attempt.error.as_ref().map(&value))
    }
    let rows: Vec<HeldRow> = statement(include_str!("sql/record_attempts.sql"))
        .bind::<sql_types::Uuid, _>(dispatcher_id.as_uuid())
        .bind::<Text, _>(notifications::RECORDED)
        .bind::<Array<sql_types::Uuid>, _>(each(finished, |one| one.tenant_id.as_uuid()))
        .bind::<Array<sql_types::Uuid>, _>(each(finished, |one| one.delivery_id.as_uuid()))
        .bind::<Array<sql_types::Uuid>, _>(each(finished, |one| one.lease_token.0))
        .bind::<Array<sql_types::Uuid>, _>(each(finished, |one| one.endpoint_id.as_uuid()))
        .bind::<Array<Bool>, _>(each(finished, FinishedAttempt::is_gone))
        .bind::<Array<Text>, _>(each(finished, FinishedAttempt::status))
        .bind::<Array<Nullable<BigInt>>, _>(each(finished, FinishedAttempt::retry_after_ms))
        .bind::<Array<sql_types::Uuid>, _>(each(finished, |_| AttemptId::new().as_uuid()))
        .bind::<Array<Nullable<Text>>, _>(each(finished, FinishedAttempt::error_message))
        .bind::<Array<Nullable<Integer>>, _>(each(finished, |one| {
            one.attempt.answered_status().map(i32::from)
        }))
        .bind::<Array<Nullable<Text>>, _>(each(finished, FinishedAttempt::answer))
        .bind::<Array<sql_types::Uuid>, _>(each(finished, |one| one.attempt.id.as_uuid()))
        .bind::<Array<Integer>, _>(each(finished, |one| saturate(one.attempt.number)))
        .bind::<Array<Timestamptz>, _>(each(finished, |one| one.attempt.started_at))
        .bind::<Array<Nullable<Integer>>, _>(each(finished, |one| {
            one.attempt.duration.map(|time| saturate(time.as_millis()))
        }))
        .bind::<Array<Text>, _>(each(finished, |one| {
            write_headers(&one.attempt.request_headers)
        }))
        .bind::<Array<Nullable<Integer>>, _>(of_response(finished, |it| i32::from(it.status)))
        .bind::<Array<Nullable<Text>>, _>(of_response(finished, |it| write_headers(&it.headers)))
        .bind::<Array<Nullable<Binary>>, _>(of_response(finished, |it| it.body.clone()))
        .bind::<Array<Bool>, _>(each(finished, |one| {
            let response = one.attempt.response.as_ref();
            response.is_some_and(|it| it.body_truncated)
        }))
        .bind::<Array<Nullable<Text>>, _>(of_error(finished, |error| error.kind.as_str()))
        .bind::<Array<Nullable<Text>>, _>(of_error(finished, |error| error.message.clone()))
        .bind::<Array<Nullable<Text>>, _>(each(finished, |one| {
            one.attempt.remote_ip.map(|ip| ip.to_string())
        }))
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(HeldRow::lease).collect())
}

/// The number as PostgreSQL's `integer`, the largest one if it does not fit.
fn saturate(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

/// Disables the endpoints that answered 410. The statement has locked all of them, before the first of their
/// tenants is locked here: whoever changes an endpoint locks it first and its tenant then.
async fn disable_gone(
    conn: &mut AsyncPgConnection,
    finished: &[FinishedAttempt],
    held: &HashSet<Lease>,
) -> Result<(), StoreError> {
    let mut gone: Vec<(TenantId, EndpointId, i64)> = finished
        .iter()
        .filter(|one| one.is_gone() && held.contains(&one.lease()))
        .map(|one| (one.tenant_id, one.endpoint_id, one.endpoint_version))
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
