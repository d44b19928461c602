//! Claiming for endpoints that have a limit: on the rate, or on what is in flight, over all dispatchers.
//!
//! Whoever holds the endpoint's row in `endpoint_limits` may claim for it, and does so in a second statement: its snapshot
//! sees every lease that was made under that lock before. Others take no lock and pay nothing.

use std::time::Duration;

use diesel::prelude::QueryableByName;
use diesel::sql_types::{self, Array, BigInt, Bool, Integer, Nullable};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{Claim, ClaimRow, MaybeClaim, milliseconds};
use crate::ids::{DispatcherId, EndpointId, TenantId};
use crate::store::statement::{Bind, statement};
use crate::store::{StoreError, stored};

/// An endpoint with a limit.
pub type LimitedEndpoint = (TenantId, EndpointId);

/// What a claim for limited endpoints is given.
#[derive(Clone, Debug)]
pub struct LimitedRequest<'a> {
    /// Who claims.
    pub dispatcher_id: DispatcherId,
    /// The endpoints, and how many deliveries of each this dispatcher has room for.
    pub endpoints: &'a [(LimitedEndpoint, i32)],
    /// Rows at most.
    pub max_rows: i32,
    /// Payload bytes at which no further row is taken.
    pub max_payload_bytes: i64,
    /// How long a lease lasts beyond the endpoint's own timeout.
    pub lease_margin: Duration,
}

/// What came of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitState {
    /// It may have more, and had nothing more that could be taken.
    Open,
    /// Its rate allows the next one after this time.
    NextSlotAfter(Duration),
    /// As much is in flight as may be: the next one may go when one of these has been recorded.
    Full,
}

/// What was taken.
#[derive(Clone, Debug, Default)]
pub struct LimitedClaim {
    /// The deliveries that are leased now.
    pub claims: Vec<Claim>,
    /// What came of the endpoints; those that another dispatcher was claiming for are left out.
    pub states: Vec<(EndpointId, LimitState)>,
}

#[derive(QueryableByName)]
struct LockedRow {
    #[diesel(sql_type = sql_types::Uuid)]
    tenant_id: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    endpoint_id: Uuid,
}

/// A claim where there is a `delivery_id`, else what came of an endpoint.
#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = sql_types::Uuid)]
    tenant_id: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    endpoint_id: Uuid,
    #[diesel(sql_type = Bool)]
    has_room_left: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    wait_ms: Option<i64>,
    #[diesel(embed)]
    claim: MaybeClaim,
}

/// Leases deliveries of limited endpoints, express ones first. The commit does not wait for the disk.
///
/// Indexes: `delivery_queue_ready_idx`, `delivery_queue_express_idx`, `delivery_queue_limited_idx` for what is in flight.
///
/// # Errors
///
/// [`StoreError`]. Leases that were committed all the same end by themselves.
pub async fn claim_limited(
    conn: &mut AsyncPgConnection,
    request: &LimitedRequest<'_>,
) -> Result<LimitedClaim, StoreError> {
    conn.transaction(async |conn| {
        let locked = lock(conn, request.endpoints).await?;
        if locked.is_empty() {
            return Ok(LimitedClaim::default());
        }
        claim(conn, request, &locked).await
    })
    .await
}

async fn lock(
    conn: &mut AsyncPgConnection,
    endpoints: &[(LimitedEndpoint, i32)],
) -> Result<Vec<(LimitedEndpoint, i32)>, StoreError> {
    let (tenants, ids) = columns(endpoints);
    let locked: Vec<LockedRow> = statement(include_str!("../sql/lock_limits.sql"))
        .bind::<Array<sql_types::Uuid>, _>(tenants)
        .bind::<Array<sql_types::Uuid>, _>(ids)
        .load(conn)
        .await?;
    let is_locked = |(tenant_id, id): LimitedEndpoint| {
        locked
            .iter()
            .any(|row| row.tenant_id == tenant_id.as_uuid() && row.endpoint_id == id.as_uuid())
    };
    let ours = endpoints
        .iter()
        .filter(|(endpoint, _)| is_locked(*endpoint));
    Ok(ours.copied().collect())
}

fn columns(endpoints: &[(LimitedEndpoint, i32)]) -> (Vec<Uuid>, Vec<Uuid>) {
    endpoints
        .iter()
        .map(|((tenant_id, id), _)| (tenant_id.as_uuid(), id.as_uuid()))
        .unzip()
}

async fn claim(
    conn: &mut AsyncPgConnection,
    request: &LimitedRequest<'_>,
    locked: &[(LimitedEndpoint, i32)],
) -> Result<LimitedClaim, StoreError> {
    let (tenants, ids) = columns(locked);
    let rooms: Vec<i32> = locked.iter().map(|(_, room)| *room).collect();
    let rows: Vec<Row> = statement(include_str!("../sql/claim_limited.sql"))
        .bind::<Array<sql_types::Uuid>, _>(tenants)
        .bind::<Array<sql_types::Uuid>, _>(ids)
        .bind::<Array<Integer>, _>(rooms)
        .bind::<Integer, _>(request.max_rows)
        .bind::<BigInt, _>(request.max_payload_bytes)
        .bind::<sql_types::Uuid, _>(request.dispatcher_id.as_uuid())
        .bind::<Integer, _>(milliseconds(request.lease_margin))
        .load(conn)
        .await?;
    let mut taken = LimitedClaim::default();
    for row in rows {
        let endpoint_id = EndpointId::from_uuid(row.endpoint_id);
        match row.claim.read(row.tenant_id, Some(row.endpoint_id)) {
            Some(claim) => taken.claims.push(ClaimRow::read(claim)?),
            None => {
                let wait = row
                    .wait_ms
                    .map(|wait| stored("wait", u64::try_from(wait)).map(Duration::from_millis))
                    .transpose()?;
                let state = match wait {
                    _ if row.has_room_left => LimitState::Open,
                    Some(wait) if !wait.is_zero() => LimitState::NextSlotAfter(wait),
                    Some(_) | None => LimitState::Full,
                };
                taken.states.push((endpoint_id, state));
            }
        }
    }
    // What is locked and not told of is no longer enabled.
    for ((_, id), _) in locked {
        if taken.states.iter().all(|(told, _)| told != id) {
            taken.states.push((*id, LimitState::Open));
        }
    }
    Ok(taken)
}
