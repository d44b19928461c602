//! Circuits, as all dispatchers see them: when they open, close, and open again.
//!
//! A circuit that is not closed is a row of `endpoint_limits` with `circuit_open_until`, and its endpoint's
//! `circuit_opened_at`, which sends claims there. Endpoints are locked before their limits.

use std::time::Duration;

use diesel::prelude::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Uuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::statement::{Bind, statement};
use super::{StoreError, whole_milliseconds};
use crate::ids::{EndpointId, TenantId};

/// How long a circuit that is closing stays at a number in flight before that doubles. Shorter, and the backlog comes
/// back to a receiver that has just begun to answer; longer, and it waits for longer than needed.
pub const CLOSING_STEP: Duration = Duration::from_secs(1);
/// After so many steps a circuit is closed: more may be in flight by then than any number of dispatchers send.
const CLOSING_STEPS: u32 = 10;

/// Opens the circuit of an enabled endpoint that has had no success for `failing_for`, if it is the one that was asked
/// (`version`) and its circuit is closed. Returns whether it was opened.
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn open(
    conn: &mut AsyncPgConnection,
    endpoint: (TenantId, EndpointId),
    version: i64,
    failing_for: Duration,
    pause: Duration,
) -> Result<bool, StoreError> {
    let opened = statement(include_str!("sql/open_circuit.sql"))
        .bind::<Uuid, _>(endpoint.0.as_uuid())
        .bind::<Uuid, _>(endpoint.1.as_uuid())
        .bind::<BigInt, _>(version)
        .bind::<BigInt, _>(whole_milliseconds(failing_for))
        .bind::<BigInt, _>(whole_milliseconds(pause))
        .execute(conn)
        .await?;
    Ok(opened > 0)
}

/// Opens a circuit again, of which an attempt has failed although it was no longer open. `openings` says how often it
/// had opened when that attempt was claimed: of several failures only the first one counts. Returns whether it was
/// opened.
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn reopen(
    conn: &mut AsyncPgConnection,
    endpoint: (TenantId, EndpointId),
    openings: u32,
    pause: Duration,
) -> Result<bool, StoreError> {
    let opened = statement(
        "UPDATE endpoint_limits
         SET circuit_open_until = now() + $4 * interval '1 millisecond',
             circuit_openings = circuit_openings + 1,
             circuit_closing_since = NULL
         WHERE tenant_id = $1 AND endpoint_id = $2 AND circuit_openings = $3 AND circuit_open_until <= now()",
    )
    .bind::<Uuid, _>(endpoint.0.as_uuid())
    .bind::<Uuid, _>(endpoint.1.as_uuid())
    .bind::<Integer, _>(i32::try_from(openings).unwrap_or(i32::MAX))
    .bind::<BigInt, _>(whole_milliseconds(pause))
    .execute(conn)
    .await?;
    Ok(opened > 0)
}

/// Begins to close a circuit whose receiver has answered. Returns whether it was not closing yet.
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn begin_to_close(
    conn: &mut AsyncPgConnection,
    endpoint: (TenantId, EndpointId),
) -> Result<bool, StoreError> {
    let closing = statement(
        "UPDATE endpoint_limits
         SET circuit_open_until = now(), circuit_closing_since = now()
         WHERE tenant_id = $1 AND endpoint_id = $2
           AND circuit_open_until IS NOT NULL AND circuit_closing_since IS NULL",
    )
    .bind::<Uuid, _>(endpoint.0.as_uuid())
    .bind::<Uuid, _>(endpoint.1.as_uuid())
    .execute(conn)
    .await?;
    Ok(closing > 0)
}

/// Closes the circuits that have been closing for long enough. Returns their number. What another transaction holds is
/// left to the next call.
///
/// Index: `endpoint_limits_circuit_idx`.
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn close_all_due(conn: &mut AsyncPgConnection) -> Result<usize, StoreError> {
    Ok(statement(include_str!("sql/close_circuits.sql"))
        .bind::<BigInt, _>(whole_milliseconds(CLOSING_STEP * CLOSING_STEPS))
        .execute(conn)
        .await?)
}

/// Closes a circuit at once, whatever its state: the receiver is another one from now on. The caller holds the
/// endpoint's lock.
pub(super) async fn forget(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    endpoint_id: EndpointId,
) -> Result<(), StoreError> {
    statement(
        "WITH closed AS (
             UPDATE endpoint_limits
             SET circuit_open_until = NULL, circuit_openings = 0, circuit_closing_since = NULL
             WHERE tenant_id = $1 AND endpoint_id = $2 AND circuit_open_until IS NOT NULL
         )
         UPDATE endpoints SET circuit_opened_at = NULL
         WHERE tenant_id = $1 AND id = $2 AND circuit_opened_at IS NOT NULL",
    )
    .bind::<Uuid, _>(tenant_id.as_uuid())
    .bind::<Uuid, _>(endpoint_id.as_uuid())
    .execute(conn)
    .await?;
    Ok(())
}

/// How many circuits are not closed, each number up to a bound of 1,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, QueryableByName)]
pub struct CircuitCounts {
    /// Nothing but express deliveries is sent.
    #[diesel(sql_type = BigInt)]
    pub open: i64,
    /// One delivery at a time is sent.
    #[diesel(sql_type = BigInt)]
    pub half_open: i64,
    /// The receiver has answered, and more and more is sent.
    #[diesel(sql_type = BigInt)]
    pub closing: i64,
}

/// Counts the circuits that are not closed.
///
/// Index: `endpoint_limits_circuit_idx`.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn count(conn: &mut AsyncPgConnection) -> Result<CircuitCounts, StoreError> {
    Ok(statement(include_str!("sql/count_circuits.sql"))
        .get_result(conn)
        .await?)
}
