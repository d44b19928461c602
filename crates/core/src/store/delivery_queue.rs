//! The queue: claiming what is due, and making due what waited. Its rows are inserted with their deliveries.

mod limited;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use diesel::prelude::QueryableByName;
use diesel::sql_types::{self, Array, BigInt, Bool, Integer, Nullable};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::statement::{Bind, statement};
use super::{StoreError, stored};
pub use limited::{LimitState, LimitedClaim, LimitedEndpoint, LimitedRequest, claim_limited};

use crate::ids::{AttemptId, DeliveryId, DispatcherId, EndpointId, EventId, LeaseToken, TenantId};

/// The right to make one attempt.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The delivery that is leased.
    pub delivery_id: DeliveryId,
    /// Where it goes.
    pub endpoint_id: EndpointId,
    /// The endpoint's `version`, which tells whether a cached endpoint is still right.
    pub endpoint_version: i64,
    /// The endpoint's timeout that the lease was made for; an attempt may take no longer.
    pub timeout: Duration,
    /// What it brings.
    pub event_id: EventId,
    /// The attempt to make.
    pub attempt_id: AttemptId,
    /// Its number, from 1.
    pub attempt_number: u32,
    /// The payload's size.
    pub payload_bytes: u32,
    /// Whether somebody waits for it.
    pub is_express: bool,
    /// Whether its endpoint has a limit, so that others may wait for this one to end.
    pub is_limited: bool,
    /// Named by every later write.
    pub lease_token: LeaseToken,
}

/// What a claim is given.
#[derive(Clone, Debug)]
pub struct ClaimRequest<'a> {
    /// Who claims.
    pub dispatcher_id: DispatcherId,
    /// Rows at most.
    pub max_rows: i32,
    /// Payload bytes at which no further row is taken: the last one taken may go beyond, so that a large one that
    /// never fits beside others is not passed over for ever. None is taken at zero.
    pub max_payload_bytes: i64,
    /// How long a lease lasts beyond the endpoint's own timeout: the time to begin and to record.
    pub lease_margin: Duration,
    /// In flight at most for one endpoint, here.
    pub max_per_endpoint: i32,
    /// In flight at most for one tenant, here.
    pub max_per_tenant: i32,
    /// What is in flight here now.
    pub in_flight: &'a InFlight,
    /// Where the last claim stopped.
    pub position: &'a ClaimPosition,
}

/// How many attempts are in flight, by endpoint and by tenant.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    /// By endpoint; endpoints with none are left out.
    pub by_endpoint: HashMap<EndpointId, i32>,
    /// By tenant; tenants with none are left out.
    pub by_tenant: HashMap<TenantId, i32>,
}

/// Where the next fair claim begins, so that every tenant and endpoint gets its turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimPosition {
    /// The tenant to start after; `None` for the first.
    pub tenant_id: Option<TenantId>,
    /// In the tenants that were not walked to their end, the endpoint to start after.
    pub endpoint_by_tenant: HashMap<TenantId, EndpointId>,
}

impl ClaimPosition {
    /// Whether this is the beginning, where every walk comes by again after it has seen everything there is.
    #[must_use]
    pub fn is_start(&self) -> bool {
        self.tenant_id.is_none() && self.endpoint_by_tenant.is_empty()
    }
}

/// What a fair claim has taken, and where the next one goes on.
#[derive(Clone, Debug)]
pub struct FairClaim {
    /// The deliveries that are leased now.
    pub claims: Vec<Claim>,
    /// Endpoints with ready deliveries and a limit, which were passed over: see [`claim_limited`].
    pub limited: Vec<LimitedEndpoint>,
    /// Where the next claim begins; it moves on even if nothing could be taken.
    pub next: ClaimPosition,
}

/// Tenants visited in one claim at most. More, and one statement takes long; fewer, and a tenant waits for more claims
/// before its turn comes.
pub const MAX_TENANT_HOPS: i32 = 64;
/// Endpoints visited in one claim at most, of each tenant.
pub const MAX_ENDPOINT_HOPS: i32 = 64;
/// Tenants for which an endpoint to go on after is remembered at most; each costs a row of the claim's parameters.
/// Past this many all are forgotten, and their walks begin anew: some endpoints then get two turns before others.
const MAX_RESUMED_TENANTS: usize = 1_024;

/// A claim as it is read; the columns of its key stand in the rows around it.
struct ClaimRow {
    tenant_id: Uuid,
    delivery_id: Uuid,
    endpoint_id: Uuid,
    endpoint_version: i64,
    timeout_seconds: i32,
    event_id: Uuid,
    attempt_id: Uuid,
    attempt_number: i32,
    payload_bytes: i32,
    express: bool,
    limited: bool,
    lease_token: Uuid,
}

/// The columns of a claim in rows that may hold something else: all of them are null then.
#[derive(QueryableByName)]
struct MaybeClaim {
    #[diesel(sql_type = Nullable<sql_types::Uuid>)]
    delivery_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<BigInt>)]
    endpoint_version: Option<i64>,
    #[diesel(sql_type = Nullable<Integer>)]
    timeout_seconds: Option<i32>,
    #[diesel(sql_type = Nullable<sql_types::Uuid>)]
    event_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<sql_types::Uuid>)]
    attempt_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Integer>)]
    attempt_number: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    payload_bytes: Option<i32>,
    #[diesel(sql_type = Nullable<Bool>)]
    express: Option<bool>,
    #[diesel(sql_type = Nullable<Bool>)]
    limited: Option<bool>,
    #[diesel(sql_type = Nullable<sql_types::Uuid>)]
    lease_token: Option<Uuid>,
}

impl MaybeClaim {
    fn read(&self, tenant_id: Uuid, endpoint_id: Option<Uuid>) -> Option<ClaimRow> {
        Some(ClaimRow {
            tenant_id,
            delivery_id: self.delivery_id?,
            endpoint_id: endpoint_id?,
            endpoint_version: self.endpoint_version?,
            timeout_seconds: self.timeout_seconds?,
            event_id: self.event_id?,
            attempt_id: self.attempt_id?,
            attempt_number: self.attempt_number?,
            payload_bytes: self.payload_bytes?,
            express: self.express?,
            limited: self.limited?,
            lease_token: self.lease_token?,
        })
    }
}

/// A row of `claim_ready.sql`: a claim where there is a `delivery_id`; an endpoint with a limit where there is only an
/// `endpoint_id`; else a tenant that the walk has visited.
#[derive(QueryableByName)]
struct WalkRow {
    #[diesel(sql_type = sql_types::Uuid)]
    tenant_id: Uuid,
    #[diesel(sql_type = Bool)]
    is_last_hop: bool,
    #[diesel(sql_type = Nullable<sql_types::Uuid>)]
    resume_after: Option<Uuid>,
    #[diesel(sql_type = Nullable<sql_types::Uuid>)]
    endpoint_id: Option<Uuid>,
    #[diesel(embed)]
    claim: MaybeClaim,
}

/// A row of `claim_express.sql`: a claim where there is a `delivery_id`, else an endpoint with a limit.
#[derive(QueryableByName)]
struct ExpressRow {
    #[diesel(sql_type = sql_types::Uuid)]
    tenant_id: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    endpoint_id: Uuid,
    #[diesel(embed)]
    claim: MaybeClaim,
}

impl FairClaim {
    fn read(rows: &[WalkRow], mut position: ClaimPosition) -> Result<Self, StoreError> {
        let mut claims = Vec::with_capacity(rows.len());
        let mut limited = Vec::new();
        let started_after = position.tenant_id.take();
        for row in rows {
            let tenant_id = TenantId::from_uuid(row.tenant_id);
            if let Some(claim) = row.claim.read(row.tenant_id, row.endpoint_id) {
                claims.push(claim.read()?);
                continue;
            }
            if let Some(endpoint_id) = row.endpoint_id {
                limited.push((tenant_id, EndpointId::from_uuid(endpoint_id)));
                continue;
            }
            if row.is_last_hop {
                position.tenant_id = Some(tenant_id);
            }
            match row.resume_after {
                Some(id) => position
                    .endpoint_by_tenant
                    .insert(tenant_id, EndpointId::from_uuid(id)),
                None => position.endpoint_by_tenant.remove(&tenant_id),
            };
        }
        if position.tenant_id.is_none() {
            // The walk has come to the end: a tenant on its way that it did not meet has nothing left.
            let met: HashSet<Uuid> = rows.iter().map(|row| row.tenant_id).collect();
            position.endpoint_by_tenant.retain(|tenant_id, _| {
                Some(*tenant_id) <= started_after || met.contains(&tenant_id.as_uuid())
            });
        }
        if position.endpoint_by_tenant.len() > MAX_RESUMED_TENANTS {
            position.endpoint_by_tenant.clear();
        }
        Ok(Self {
            claims,
            limited,
            next: position,
        })
    }
}

impl ClaimRow {
    fn read(self) -> Result<Claim, StoreError> {
        Ok(Claim {
            tenant_id: TenantId::from_uuid(self.tenant_id),
            delivery_id: DeliveryId::from_uuid(self.delivery_id),
            endpoint_id: EndpointId::from_uuid(self.endpoint_id),
            endpoint_version: self.endpoint_version,
            timeout: Duration::from_secs(stored("timeout", u64::try_from(self.timeout_seconds))?),
            event_id: EventId::from_uuid(self.event_id),
            attempt_id: AttemptId::from_uuid(self.attempt_id),
            attempt_number: stored("attempt number", u32::try_from(self.attempt_number))?,
            payload_bytes: stored("payload size", u32::try_from(self.payload_bytes))?,
            is_express: self.express,
            is_limited: self.limited,
            lease_token: LeaseToken(self.lease_token),
        })
    }
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// Leases ready deliveries, fairly among tenants and endpoints. The commit does not wait for the disk.
///
/// Index: `delivery_queue_ready_idx`, one probe per tenant and endpoint visited.
///
/// # Errors
///
/// [`StoreError`]. Leases that were committed all the same end by themselves.
pub async fn claim_ready(
    conn: &mut AsyncPgConnection,
    request: &ClaimRequest<'_>,
) -> Result<FairClaim, StoreError> {
    let (resumed, resume_after): (Vec<_>, Vec<_>) = request
        .position
        .endpoint_by_tenant
        .iter()
        .map(|(tenant, endpoint)| (tenant.as_uuid(), endpoint.as_uuid()))
        .unzip();
    let (endpoints, endpoint_counts): (Vec<_>, Vec<_>) = request
        .in_flight
        .by_endpoint
        .iter()
        .map(|(id, count)| (id.as_uuid(), *count))
        .unzip();
    let (tenants, tenant_counts): (Vec<_>, Vec<_>) = request
        .in_flight
        .by_tenant
        .iter()
        .map(|(id, count)| (id.as_uuid(), *count))
        .unzip();
    let rows: Vec<WalkRow> = statement(include_str!("sql/claim_ready.sql"))
        .bind::<Integer, _>(request.max_rows)
        .bind::<BigInt, _>(request.max_payload_bytes)
        .bind::<sql_types::Uuid, _>(request.dispatcher_id.as_uuid())
        .bind::<Integer, _>(milliseconds(request.lease_margin))
        .bind::<sql_types::Uuid, _>(
            request
                .position
                .tenant_id
                .map_or(Uuid::nil(), TenantId::as_uuid),
        )
        .bind::<Array<sql_types::Uuid>, _>(resumed)
        .bind::<Array<sql_types::Uuid>, _>(resume_after)
        .bind::<Integer, _>(request.max_per_endpoint)
        .bind::<Array<sql_types::Uuid>, _>(endpoints)
        .bind::<Array<Integer>, _>(endpoint_counts)
        .bind::<Integer, _>(request.max_per_tenant)
        .bind::<Array<sql_types::Uuid>, _>(tenants)
        .bind::<Array<Integer>, _>(tenant_counts)
        .bind::<Integer, _>(MAX_TENANT_HOPS)
        .bind::<Integer, _>(MAX_ENDPOINT_HOPS)
        .load(conn)
        .await?;
    FairClaim::read(&rows, request.position.clone())
}

/// How much of the express lane one tenant may have, so that nobody's hanging receiver takes it from the others.
#[derive(Clone, Debug)]
pub struct ExpressLimits<'a> {
    /// Express deliveries in flight at most for one tenant, here.
    pub max_per_tenant: i32,
    /// What is in flight here now, express deliveries only.
    pub in_flight_by_tenant: &'a HashMap<TenantId, i32>,
}

/// What an express claim has taken.
#[derive(Clone, Debug, Default)]
pub struct ExpressClaim {
    /// The deliveries that are leased now.
    pub claims: Vec<Claim>,
    /// Endpoints with express deliveries and a limit, which were passed over: see [`claim_limited`].
    pub limited: Vec<LimitedEndpoint>,
}

/// Leases express deliveries, a few of each tenant and the oldest first, whatever else their endpoints have in flight.
///
/// Index: `delivery_queue_express_idx`.
///
/// # Errors
///
/// [`StoreError`]. Leases that were committed all the same end by themselves.
pub async fn claim_express(
    conn: &mut AsyncPgConnection,
    dispatcher_id: DispatcherId,
    max_rows: i32,
    limits: &ExpressLimits<'_>,
    lease_margin: Duration,
) -> Result<ExpressClaim, StoreError> {
    let (tenants, counts): (Vec<_>, Vec<_>) = limits
        .in_flight_by_tenant
        .iter()
        .map(|(id, count)| (id.as_uuid(), *count))
        .unzip();
    let rows: Vec<ExpressRow> = statement(include_str!("sql/claim_express.sql"))
        .bind::<Integer, _>(max_rows)
        .bind::<sql_types::Uuid, _>(dispatcher_id.as_uuid())
        .bind::<Integer, _>(milliseconds(lease_margin))
        .bind::<Integer, _>(limits.max_per_tenant)
        .bind::<Array<sql_types::Uuid>, _>(tenants)
        .bind::<Array<Integer>, _>(counts)
        .load(conn)
        .await?;
    let mut taken = ExpressClaim::default();
    for row in rows {
        match row.claim.read(row.tenant_id, Some(row.endpoint_id)) {
            Some(claim) => taken.claims.push(claim.read()?),
            None => {
                let tenant_id = TenantId::from_uuid(row.tenant_id);
                taken
                    .limited
                    .push((tenant_id, EndpointId::from_uuid(row.endpoint_id)));
            }
        }
    }
    Ok(taken)
}

/// Makes ready what has waited until its `due_at`: at most `max_rows` retries. Those of disabled endpoints are kept
/// back instead. Returns their number.
///
/// Index: `delivery_queue_waiting_idx`.
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn promote_due(conn: &mut AsyncPgConnection, max_rows: i32) -> Result<usize, StoreError> {
    Ok(statement(include_str!("sql/promote_due.sql"))
        .bind::<Integer, _>(max_rows)
        .execute(conn)
        .await?)
}

/// The queue's size, as far as metrics want it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct QueueDepth {
    /// Deliveries that could be claimed now, counted up to a bound of 100,000.
    #[diesel(sql_type = BigInt)]
    pub ready: i64,
    /// Retries and leases, counted up to the same bound.
    #[diesel(sql_type = BigInt)]
    pub waiting: i64,
}

/// Counts the queue, in bounded time.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn depth(conn: &mut AsyncPgConnection) -> Result<QueueDepth, StoreError> {
    Ok(statement(include_str!("sql/queue_depth.sql"))
        .get_result(conn)
        .await?)
}
