//! Subscriptions: which endpoints of a tenant want which events.

use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::StoreError;
use super::endpoints::read_patterns;
use super::schema::{endpoints, tenants};
use crate::endpoint::{EndpointStatus, Subscription, Subscriptions};
use crate::ids::{EndpointId, TenantId, UserId};

/// Reads all subscriptions of a tenant and the version they belong to, in one snapshot.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or a row can't be read.
pub async fn list(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
) -> Result<Subscriptions, StoreError> {
    type Row = (
        i64,
        Option<uuid::Uuid>,
        Option<i64>,
        Option<Vec<Option<String>>>,
        Option<String>,
    );
    let rows: Vec<Row> = tenants::table
        .left_join(
            endpoints::table.on(endpoints::tenant_id
                .eq(tenants::id)
                .and(endpoints::status.ne(EndpointStatus::Deleted.as_str()))),
        )
        .filter(tenants::id.eq(tenant_id.as_uuid()))
        .select((
            tenants::endpoints_version,
            endpoints::id.nullable(),
            endpoints::user_id.nullable(),
            endpoints::event_patterns.nullable(),
            endpoints::status.nullable(),
        ))
        .load(conn)
        .await?;
    let version = rows.iter().map(|row| row.0).next().unwrap_or(0);
    let mut list = Vec::with_capacity(rows.len());
    for (_, id, owner, patterns, status) in rows {
        if let (Some(id), Some(owner), Some(patterns), Some(status)) = (id, owner, patterns, status)
        {
            list.push(Subscription {
                endpoint_id: EndpointId::from_uuid(id),
                owner: UserId(owner),
                event_patterns: read_patterns(patterns)?,
                is_enabled: status == EndpointStatus::Enabled.as_str(),
            });
        }
    }
    Ok(Subscriptions { version, list })
}
