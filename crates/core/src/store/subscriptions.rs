//! Subscriptions: which endpoints of a tenant want which events.

use std::collections::HashMap;

use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::StoreError;
use super::endpoints::{IsPresent, read_patterns};
use super::schema::{endpoints, tenants};
use crate::endpoint::EndpointStatus;
use crate::ids::{EndpointId, TenantId, UserId};
use crate::subscriptions::{Subscription, Subscriptions};

/// Reads all subscriptions of a tenant and the version they belong to, in one snapshot. A tenant that is not there has
/// none.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or a row can't be read.
pub async fn list(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
) -> Result<Subscriptions, StoreError> {
    let found = list_of(conn, &[tenant_id]).await?.remove(&tenant_id);
    Ok(found.unwrap_or_else(|| Subscriptions::new(0, Vec::new())))
}

/// Reads all subscriptions of several tenants and the versions they belong to, in one snapshot. Tenants that are not
/// there are left out.
///
/// Index: `endpoints_present_idx`.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or a row can't be read.
pub async fn list_of(
    conn: &mut AsyncPgConnection,
    tenants: &[TenantId],
) -> Result<HashMap<TenantId, Subscriptions>, StoreError> {
    type Row = (
        uuid::Uuid,
        i64,
        Option<uuid::Uuid>,
        Option<i64>,
        Option<Vec<Option<String>>>,
        Option<String>,
        Option<i32>,
        Option<i32>,
    );
    let ids: Vec<uuid::Uuid> = tenants.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<Row> = tenants::table
        .left_join(endpoints::table.on(endpoints::tenant_id.eq(tenants::id).and(IsPresent)))
        .filter(tenants::id.eq_any(ids))
        .select((
            tenants::id,
            tenants::endpoints_version,
            endpoints::id.nullable(),
            endpoints::user_id.nullable(),
            endpoints::event_patterns.nullable(),
            endpoints::status.nullable(),
            endpoints::rate_limit_per_second.nullable(),
            endpoints::max_in_flight.nullable(),
        ))
        .load(conn)
        .await?;
    let mut found: HashMap<TenantId, (i64, Vec<Subscription>)> = HashMap::new();
    for (tenant_id, version, id, owner, patterns, status, rate_limit, max_in_flight) in rows {
        let (_, list) = found
            .entry(TenantId::from_uuid(tenant_id))
            .or_insert_with(|| (version, Vec::new()));
        if let (Some(id), Some(owner), Some(patterns), Some(status)) = (id, owner, patterns, status)
        {
            list.push(Subscription {
                endpoint_id: EndpointId::from_uuid(id),
                owner: UserId(owner),
                event_patterns: read_patterns(patterns)?,
                is_enabled: status == EndpointStatus::Enabled.as_str(),
                has_limit: rate_limit.is_some() || max_in_flight.is_some(),
            });
        }
    }
    let found = found.into_iter();
    Ok(found
        .map(|(tenant_id, (version, list))| (tenant_id, Subscriptions::new(version, list)))
        .collect())
}
