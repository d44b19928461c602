//! Tenants.

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, insert_into};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::StoreError;
use super::schema::tenants;
use crate::ids::TenantId;

/// Makes a tenant.
///
/// # Errors
///
/// [`StoreError`], with nothing made.
pub async fn insert(
    conn: &mut AsyncPgConnection,
    id: TenantId,
    name: &str,
) -> Result<(), StoreError> {
    insert_into(tenants::table)
        .values((tenants::id.eq(id.as_uuid()), tenants::name.eq(name)))
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether there is such a tenant.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn exists(conn: &mut AsyncPgConnection, id: TenantId) -> Result<bool, StoreError> {
    let found: Option<uuid::Uuid> = tenants::table
        .find(id.as_uuid())
        .select(tenants::id)
        .first(conn)
        .await
        .optional()?;
    Ok(found.is_some())
}

/// Counts a change of the tenant's endpoints, in the transaction that makes it, so that no publisher goes on with
/// what it has cached.
pub(super) async fn bump_endpoints_version(
    conn: &mut AsyncPgConnection,
    id: TenantId,
) -> Result<(), StoreError> {
    diesel::update(tenants::table.find(id.as_uuid()))
        .set(tenants::endpoints_version.eq(tenants::endpoints_version + 1))
        .execute(conn)
        .await?;
    Ok(())
}
