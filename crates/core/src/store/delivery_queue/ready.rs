//! The fair claim: finding the endpoints with ready deliveries, and taking of each its share.
//!
//! Finding is a walk over an index that takes no lock. What it has found may be claimed from many times before the next
//! walk, whose cost does not grow with any backlog; nor does the claim's, which begins behind what was claimed before.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use diesel::prelude::QueryableByName;
use diesel::sql_types::{self, Array, BigInt, Binary, Bool, Integer, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{Claim, ClaimRow, Claimant, LimitedEndpoint, milliseconds};
use crate::fair_share::{Caps, InFlight, share_out};
use crate::ids::{DeliveryId, EndpointId, TenantId};
use crate::store::StoreError;
use crate::store::messages::{self, Messages};
use crate::store::statement::{Bind, statement};

/// Tenants visited in one walk at most. More, and one statement takes long; fewer, and a tenant waits for more walks
/// before its turn comes.
pub const MAX_TENANT_HOPS: i32 = 64;
/// Endpoints visited in one walk at most, of each tenant.
pub const MAX_ENDPOINT_HOPS: i32 = 64;
/// Tenants for which an endpoint to go on after is remembered at most; each costs a row of the walk's parameters.
/// Past this many all are forgotten, and their walks begin anew: some endpoints then get two turns before others.
const MAX_RESUMED_TENANTS: usize = 1_024;

/// Where the next walk begins, so that every tenant and endpoint gets its turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalkPosition {
    /// The tenant to start after; `None` for the first.
    pub tenant_id: Option<TenantId>,
    /// In the tenants that were not walked to their end, the endpoint to start after.
    pub endpoint_by_tenant: HashMap<TenantId, EndpointId>,
}

impl WalkPosition {
    /// Whether this is the beginning, where every walk comes by again after it has seen everything there is.
    #[must_use]
    pub fn is_start(&self) -> bool {
        self.tenant_id.is_none() && self.endpoint_by_tenant.is_empty()
    }
}

/// What a walk has come by.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Endpoints with ready deliveries that were not known.
    pub found: Vec<(TenantId, EndpointId)>,
    /// The same, with a limit: [`claim_limited`](super::claim_limited) claims for them.
    pub limited: Vec<LimitedEndpoint>,
    /// Where the next walk begins.
    pub next: WalkPosition,
}

/// A row of `find_ready.sql`: an endpoint that was found where there is one, else a tenant that was visited.
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
    #[diesel(sql_type = Bool)]
    has_limit: bool,
}

/// Finds endpoints with ready deliveries from `position` on; those that are `known` are passed over.
///
/// Index: `delivery_queue_ready_idx`, one probe per tenant and endpoint visited.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn find_ready(
    conn: &mut AsyncPgConnection,
    position: &WalkPosition,
    known: &[(TenantId, EndpointId)],
) -> Result<Walk, StoreError> {
    let resumed = position.endpoint_by_tenant.iter();
    let (resumed, resume_after) = columns(resumed.map(|(tenant, endpoint)| (*tenant, *endpoint)));
    // The statement bisects them.
    let mut known = known.to_vec();
    known.sort_unstable();
    let (known_tenants, known_endpoints) = columns(known.into_iter());
    let after = position.tenant_id.map_or(Uuid::nil(), TenantId::as_uuid);
    let rows: Vec<WalkRow> = statement(include_str!("../sql/find_ready.sql"))
        .bind::<sql_types::Uuid, _>(after)
        .bind::<Array<sql_types::Uuid>, _>(resumed)
        .bind::<Array<sql_types::Uuid>, _>(resume_after)
        .bind::<Array<sql_types::Uuid>, _>(known_tenants)
        .bind::<Array<sql_types::Uuid>, _>(known_endpoints)
        .bind::<Integer, _>(MAX_TENANT_HOPS)
        .bind::<Integer, _>(MAX_ENDPOINT_HOPS)
        .load(conn)
        .await?;
    Ok(Walk::read(&rows, position.clone()))
}

fn columns(endpoints: impl Iterator<Item = (TenantId, EndpointId)>) -> (Vec<Uuid>, Vec<Uuid>) {
    endpoints
        .map(|(tenant_id, id)| (tenant_id.as_uuid(), id.as_uuid()))
        .unzip()
}

impl Walk {
    fn read(rows: &[WalkRow], mut position: WalkPosition) -> Self {
        let (mut found, mut limited) = (Vec::new(), Vec::new());
        let started_after = position.tenant_id.take();
        for row in rows {
            let tenant_id = TenantId::from_uuid(row.tenant_id);
            if let Some(endpoint_id) = row.endpoint_id {
                let list = if row.has_limit {
                    &mut limited
                } else {
                    &mut found
                };
                list.push((tenant_id, EndpointId::from_uuid(endpoint_id)));
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
        Self {
            found,
            limited,
            next: position,
        }
    }
}

/// An endpoint that may have ready deliveries.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// Only deliveries after this one are looked at: what lies before was claimed, and its dead entries would be read.
    pub after: Option<DeliveryId>,
}

/// What a claim is given.
#[derive(Clone, Debug)]
pub struct ClaimRequest<'a> {
    /// Who claims.
    pub claimant: Claimant,
    /// Rows at most.
    pub max_rows: i32,
    /// Places that are free for all, these rows' among them.
    pub free: i32,
    /// Payload bytes at which no further row is taken: the last one taken may go beyond, so that a large one that
    /// never fits beside others is not passed over for ever. None is taken at zero.
    pub max_payload_bytes: i64,
    /// How long a lease lasts beyond the endpoint's own timeout: the time to begin and to record.
    pub lease_margin: Duration,
    /// In flight at most, here.
    pub caps: Caps,
    /// What is in flight here now.
    pub in_flight: &'a InFlight,
}

#[derive(QueryableByName)]
struct ReadyRow {
    #[diesel(embed)]
    claim: ClaimRow,
    /// Null where another row has it, or where the event is gone.
    #[diesel(sql_type = Nullable<Text>)]
    event_type: Option<String>,
    #[diesel(sql_type = Nullable<Binary>)]
    payload: Option<Vec<u8>>,
}

/// What was taken.
#[derive(Debug, Default)]
pub struct ReadyClaim {
    /// The deliveries that are leased now.
    pub claims: Vec<Claim>,
    /// How many each candidate's share was, in their order. Who got fewer has no more that can be taken now.
    pub shares: Vec<i32>,
    /// What is to be sent.
    pub messages: Messages,
}

/// Leases ready deliveries of the candidates, fairly among tenants and endpoints. Those that are not enabled or have a
/// limit get none. The commit does not wait for the disk. What is to be sent comes with them.
///
/// Index: `delivery_queue_ready_idx`.
///
/// # Errors
///
/// [`StoreError`]. Leases that were committed all the same end by themselves.
pub async fn claim_ready(
    conn: &mut AsyncPgConnection,
    request: &ClaimRequest<'_>,
    candidates: &[Candidate],
) -> Result<ReadyClaim, StoreError> {
    let endpoints: Vec<_> = candidates
        .iter()
        .map(|one| (one.tenant_id, one.endpoint_id))
        .collect();
    let shares = share_out(
        usize::try_from(request.max_rows).unwrap_or(0),
        usize::try_from(request.free).unwrap_or(0),
        &endpoints,
        request.in_flight,
        request.caps,
        rand::random,
    );
    let served: Vec<(&Candidate, i32)> = candidates
        .iter()
        .zip(shares.iter().copied())
        .filter(|(_, share)| *share > 0)
        .collect();
    if served.is_empty() {
        return Ok(ReadyClaim {
            shares,
            ..ReadyClaim::default()
        });
    }
    let (mut claims, mut messages) = (Vec::new(), Messages::new());
    for row in lease(conn, request, &served).await? {
        let claim = row.claim.read()?;
        if let (Some(event_type), Some(payload)) = (row.event_type, row.payload) {
            messages.insert(claim.event_id, messages::read(&event_type, payload));
        }
        claims.push(claim);
    }
    Ok(ReadyClaim {
        claims,
        shares,
        messages,
    })
}

async fn lease(
    conn: &mut AsyncPgConnection,
    request: &ClaimRequest<'_>,
    served: &[(&Candidate, i32)],
) -> Result<Vec<ReadyRow>, StoreError> {
    let endpoints = served
        .iter()
        .map(|(one, _)| (one.tenant_id, one.endpoint_id));
    let (tenants, ids) = columns(endpoints);
    let after = served
        .iter()
        .map(|(one, _)| one.after.map_or(Uuid::nil(), DeliveryId::as_uuid));
    let shares: Vec<i32> = served.iter().map(|(_, share)| *share).collect();
    Ok(statement(include_str!("../sql/claim_ready.sql"))
        .bind::<Array<sql_types::Uuid>, _>(tenants)
        .bind::<Array<sql_types::Uuid>, _>(ids)
        .bind::<Array<sql_types::Uuid>, _>(after.collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(shares)
        .bind::<BigInt, _>(request.max_payload_bytes)
        .bind::<sql_types::Uuid, _>(request.claimant.dispatcher_id.as_uuid())
        .bind::<Integer, _>(milliseconds(request.lease_margin))
        .bind::<sql_types::Uuid, _>(request.claimant.lease_token.0)
        .load(conn)
        .await?)
}
