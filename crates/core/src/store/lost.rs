//! Lost attempts: what a dispatcher left behind that died, or hung beyond its leases.

use std::collections::BTreeMap;

use diesel::sql_types::{self, BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use time::OffsetDateTime;
use tracing::error;
use uuid::Uuid;

use super::endpoints::read_policy;
use super::recording::{FinishedAttempt, record_in_transaction};
use super::statement::{Bind, statement};
use super::{StoreError, stored};
use crate::attempt::{Attempt, AttemptError};
use crate::attempt_outcome::{AttemptOutcome, ErrorKind, FailureKind};
use crate::event_type::EventType;
use crate::ids::{AttemptId, DeliveryId, DispatcherId, EndpointId, LeaseToken, TenantId};
use crate::retry::{Jitter, RetryPolicy};

#[derive(diesel::QueryableByName)]
struct ExpiredRow {
    #[diesel(sql_type = sql_types::Uuid)]
    tenant_id: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    delivery_id: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    endpoint_id: Uuid,
    #[diesel(sql_type = BigInt)]
    endpoint_version: i64,
    #[diesel(sql_type = sql_types::Uuid)]
    attempt_id: Uuid,
    #[diesel(sql_type = Integer)]
    attempt_number: i32,
    #[diesel(sql_type = Bool)]
    express: bool,
    #[diesel(sql_type = sql_types::Uuid)]
    lease_token: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    leased_by: Uuid,
    #[diesel(sql_type = Timestamptz)]
    leased_at: OffsetDateTime,
    #[diesel(sql_type = Nullable<Integer>)]
    max_retries: Option<i32>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    retry_schedule: Option<Value>,
    #[diesel(sql_type = Nullable<Text>)]
    event_type: Option<String>,
}

impl ExpiredRow {
    /// The endpoint's policy, but for a challenge: that is sent once.
    fn policy(&mut self) -> RetryPolicy {
        let challenge = EventType::challenge();
        if self.event_type.as_deref() == Some(challenge.as_str()) {
            return RetryPolicy::never();
        }
        // One endpoint's unreadable policy must not keep everybody's expired leases from being taken over.
        read_policy(self.max_retries, self.retry_schedule.take()).unwrap_or_else(|error| {
            error!(endpoint.id = %self.endpoint_id, %error, "An endpoint's retry policy can't be read, using the default");
            RetryPolicy::default()
        })
    }
}

/// Takes over deliveries whose lease has expired, at most `max_rows`: the attempt that nobody finished is closed as
/// `lost`, counts, and is followed by another at once, or by none when attempts are used up. Returns their number.
///
/// Index: `delivery_queue_waiting_idx`.
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn take_over_expired(
    conn: &mut AsyncPgConnection,
    max_rows: i32,
) -> Result<usize, StoreError> {
    conn.transaction(async |conn| {
        let rows: Vec<ExpiredRow> = statement(include_str!("sql/lock_expired.sql"))
            .bind::<Integer, _>(max_rows)
            .load(conn)
            .await?;
        take_over(conn, rows).await
    })
    .await
}

/// Takes over one delivery, if its lease has expired, as [`take_over_expired`] does. Waits for whoever is at it
/// already.
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn take_over_one(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    delivery_id: DeliveryId,
) -> Result<usize, StoreError> {
    conn.transaction(async |conn| {
        let rows: Vec<ExpiredRow> = statement(include_str!("sql/lock_one_expired.sql"))
            .bind::<sql_types::Uuid, _>(tenant_id.as_uuid())
            .bind::<sql_types::Uuid, _>(delivery_id.as_uuid())
            .load(conn)
            .await?;
        take_over(conn, rows).await
    })
    .await
}

async fn take_over(
    conn: &mut AsyncPgConnection,
    rows: Vec<ExpiredRow>,
) -> Result<usize, StoreError> {
    let mut by_holder: BTreeMap<Uuid, Vec<FinishedAttempt>> = BTreeMap::new();
    for row in rows {
        by_holder
            .entry(row.leased_by)
            .or_default()
            .push(close_as_lost(row)?);
    }
    let mut count = 0;
    for (holder, lost) in by_holder {
        count += record_in_transaction(conn, DispatcherId::from_uuid(holder), &lost)
            .await?
            .len();
    }
    Ok(count)
}

fn close_as_lost(mut row: ExpiredRow) -> Result<FinishedAttempt, StoreError> {
    let policy = row.policy();
    let number = stored("attempt number", u32::try_from(row.attempt_number))?;
    let outcome = AttemptOutcome::Failed(FailureKind::Lost);
    Ok(FinishedAttempt {
        tenant_id: TenantId::from_uuid(row.tenant_id),
        delivery_id: DeliveryId::from_uuid(row.delivery_id),
        endpoint_id: EndpointId::from_uuid(row.endpoint_id),
        endpoint_version: row.endpoint_version,
        lease_token: LeaseToken(row.lease_token),
        is_express: row.express,
        attempt: Attempt {
            id: AttemptId::from_uuid(row.attempt_id),
            number,
            started_at: row.leased_at,
            duration: None,
            request_headers: Vec::new(),
            response: None,
            error: Some(AttemptError {
                kind: ErrorKind::Failure(FailureKind::Lost),
                message: "The dispatcher stopped before the attempt was recorded; the receiver may have got it".to_owned(),
            }),
            remote_ip: None,
        },
        decision: policy.decide(number, &outcome, Jitter::NONE),
    })
}
