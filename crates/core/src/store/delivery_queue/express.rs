//! Claiming what somebody waits for.

use std::collections::HashMap;
use std::time::Duration;

use diesel::prelude::QueryableByName;
use diesel::sql_types::{self, Array, Integer};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{
    Claim, Claimant, LimitedEndpoint, MAX_ENDPOINT_HOPS, MAX_TENANT_HOPS, MaybeClaim, milliseconds,
};
use crate::ids::{EndpointId, TenantId};
use crate::store::StoreError;
use crate::store::statement::{Bind, statement};

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
    /// Endpoints with express deliveries and a limit, which were passed over: see
    /// [`claim_limited`](super::claim_limited).
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
    claimant: Claimant,
    max_rows: i32,
    limits: &ExpressLimits<'_>,
    lease_margin: Duration,
) -> Result<ExpressClaim, StoreError> {
    let (tenants, counts): (Vec<_>, Vec<_>) = limits
        .in_flight_by_tenant
        .iter()
        .map(|(id, count)| (id.as_uuid(), *count))
        .unzip();
    let rows: Vec<ExpressRow> = statement(include_str!("../sql/claim_express.sql"))
        .bind::<Integer, _>(max_rows)
        .bind::<sql_types::Uuid, _>(claimant.dispatcher_id.as_uuid())
        .bind::<Integer, _>(milliseconds(lease_margin))
        .bind::<Integer, _>(limits.max_per_tenant)
        .bind::<Array<sql_types::Uuid>, _>(tenants)
        .bind::<Array<Integer>, _>(counts)
        .bind::<Integer, _>(MAX_TENANT_HOPS)
        .bind::<Integer, _>(MAX_ENDPOINT_HOPS)
        .bind::<sql_types::Uuid, _>(claimant.lease_token.0)
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
