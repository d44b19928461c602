//! Claiming for endpoints that have a limit: on the rate, or on what is in flight, over all dispatchers.
//!
//! Whoever holds the endpoint's row in `endpoint_limits` may claim for it, and does so in a second statement: its
//! snapshot sees every lease that was made under that lock before. Others take no lock and pay nothing.

use std::collections::HashMap;
use std::time::Duration;

use diesel::prelude::QueryableByName;
use diesel::sql_types::{self, Array, BigInt, Bool, Integer, Nullable};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{Claim, ClaimRow, Claimant, MaybeClaim, milliseconds};
use crate::failpoint;
use crate::ids::{EndpointId, TenantId};
use crate::store::circuits::CLOSING_STEP;
use crate::store::statement::{Bind, statement};
use crate::store::{StoreError, stored, whole_milliseconds};

/// How often to look at an open circuit whatever its time is: somebody may have closed it. More often, and many dead
/// receivers cost many claims.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// An endpoint with a limit.
pub type LimitedEndpoint = (TenantId, EndpointId);

/// What a claim for limited endpoints is given.
#[derive(Clone, Debug)]
pub struct LimitedRequest<'a> {
    /// Who claims.
    pub claimant: Claimant,
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
    /// Its circuit is open: it may be asked for after this time, and something express at once.
    CircuitOpen(Duration),
    /// As much is in flight as may be: the next one may go when one of these has been recorded.
    Full,
}

/// A circuit that is not closed, as it stood when its endpoint was claimed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenCircuit {
    /// How often it has opened since it was closed.
    pub openings: u32,
    /// Whether the receiver has answered since it opened last.
    pub is_closing: bool,
}

/// What was taken.
#[derive(Clone, Debug, Default)]
pub struct LimitedClaim {
    /// The deliveries that are leased now.
    pub claims: Vec<Claim>,
    /// What came of the endpoints; those that another dispatcher was claiming for are left out.
    pub states: Vec<(EndpointId, LimitState)>,
    /// The circuits of those of these endpoints that have one which is not closed.
    pub circuits: HashMap<LimitedEndpoint, SeenCircuit>,
}

#[derive(QueryableByName)]
struct LockedRow {
    #[diesel(sql_type = sql_types::Uuid)]
    tenant_id: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    endpoint_id: Uuid,
}

impl LockedRow {
    fn endpoint(self) -> LimitedEndpoint {
        let tenant_id = TenantId::from_uuid(self.tenant_id);
        (tenant_id, EndpointId::from_uuid(self.endpoint_id))
    }
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
    #[diesel(sql_type = Nullable<BigInt>)]
    open_ms: Option<i64>,
    #[diesel(sql_type = Nullable<Integer>)]
    circuit_openings: Option<i32>,
    #[diesel(sql_type = Nullable<Bool>)]
    circuit_is_closing: Option<bool>,
    #[diesel(embed)]
    claim: MaybeClaim,
}

/// Which of these endpoints have a limit: those who claim for what they know meet limits that came later.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn find_limited(
    conn: &mut AsyncPgConnection,
    endpoints: &[LimitedEndpoint],
) -> Result<Vec<LimitedEndpoint>, StoreError> {
    let (tenants, ids): (Vec<_>, Vec<_>) = endpoints
        .iter()
        .map(|(tenant_id, id)| (tenant_id.as_uuid(), id.as_uuid()))
        .unzip();
    let found: Vec<LockedRow> = statement(
        "SELECT wanted.tenant_id, wanted.endpoint_id
         FROM unnest($1::uuid[], $2::uuid[]) AS wanted (tenant_id, endpoint_id)
         CROSS JOIN LATERAL (
             SELECT * FROM endpoints WHERE tenant_id = wanted.tenant_id AND id = wanted.endpoint_id LIMIT 1
         ) endpoints
         WHERE endpoints.status = 'enabled'
           AND (endpoints.rate_limit_per_second IS NOT NULL OR endpoints.max_in_flight IS NOT NULL
                OR endpoints.circuit_opened_at IS NOT NULL)",
    )
    .bind::<Array<sql_types::Uuid>, _>(tenants)
    .bind::<Array<sql_types::Uuid>, _>(ids)
    .load(conn)
    .await?;
    let found = found.into_iter();
    Ok(found.map(LockedRow::endpoint).collect())
}

/// Leases deliveries of limited endpoints, express ones first. The commit does not wait for the disk.
///
/// Indexes: `delivery_queue_ready_idx`, `delivery_queue_express_idx`, `delivery_queue_limited_idx` for what is in
/// flight.
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
        failpoint::hit("in_claim_limited");
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
        .bind::<sql_types::Uuid, _>(request.claimant.dispatcher_id.as_uuid())
        .bind::<Integer, _>(milliseconds(request.lease_margin))
        .bind::<Integer, _>(milliseconds(CLOSING_STEP))
        .bind::<BigInt, _>(whole_milliseconds(ASK_AGAIN))
        .bind::<sql_types::Uuid, _>(request.claimant.lease_token.0)
        .load(conn)
        .await?;
    let mut taken = LimitedClaim::default();
    for row in &rows {
        taken.take(row)?;
    }
    // What is locked and not told of is no longer enabled, or has no limit any more.
    for ((_, id), _) in locked {
        if taken.states.iter().all(|(told, _)| told != id) {
            taken.states.push((*id, LimitState::Open));
        }
    }
    Ok(taken)
}

impl LimitedClaim {
    fn take(&mut self, row: &Row) -> Result<(), StoreError> {
        if let Some(claim) = row.claim.read(row.tenant_id, Some(row.endpoint_id)) {
            self.claims.push(ClaimRow::read(claim)?);
            return Ok(());
        }
        let endpoint_id = EndpointId::from_uuid(row.endpoint_id);
        self.states.push((endpoint_id, row.state()?));
        if let Some(openings) = row.circuit_openings {
            let circuit = SeenCircuit {
                openings: stored("openings of a circuit", u32::try_from(openings))?,
                is_closing: row.circuit_is_closing == Some(true),
            };
            let endpoint = (TenantId::from_uuid(row.tenant_id), endpoint_id);
            self.circuits.insert(endpoint, circuit);
        }
        Ok(())
    }
}

impl Row {
    fn state(&self) -> Result<LimitState, StoreError> {
        if self.has_room_left {
            return Ok(LimitState::Open);
        }
        if let Some(open) = read_wait(self.open_ms)? {
            return Ok(LimitState::CircuitOpen(open));
        }
        Ok(read_wait(self.wait_ms)?.map_or(LimitState::Full, LimitState::NextSlotAfter))
    }
}

/// A time to wait, if there is any.
fn read_wait(milliseconds: Option<i64>) -> Result<Option<Duration>, StoreError> {
    let wait = milliseconds
        .map(|wait| stored("wait", u64::try_from(wait)).map(Duration::from_millis))
        .transpose()?;
    Ok(wait.filter(|wait| !wait.is_zero()))
}
