//! Deleting an endpoint.

use diesel::dsl::now;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use crate::endpoint::EndpointStatus;
use crate::ids::{EndpointId, TenantId};
use crate::store::schema::endpoints;
use crate::store::tenants::bump_endpoints_version;
use crate::store::{StoreError, circuits};

/// What came of deleting an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted now.
    Done,
    /// It was deleted before, and nothing was changed.
    DoneBefore,
    /// The tenant has no such endpoint.
    NotFound,
}

/// Deletes an endpoint. Nothing of it is opened: one whose secrets were sealed with a lost key can be deleted, too.
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn delete(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    id: EndpointId,
) -> Result<Deletion, StoreError> {
    let target = endpoints::table.find((tenant_id.as_uuid(), id.as_uuid()));
    conn.transaction(async move |conn| {
        let status: Option<String> = target
            .select(endpoints::status)
            .for_no_key_update()
            .first(conn)
            .await
            .optional()?;
        let deleted = EndpointStatus::Deleted;
        match status {
            None => return Ok(Deletion::NotFound),
            Some(status) if status == deleted.as_str() => return Ok(Deletion::DoneBefore),
            Some(_) => bump_endpoints_version(conn, tenant_id).await?,
        }
        diesel::update(target)
            .set((
                endpoints::status.eq(deleted.as_str()),
                endpoints::disabled_reason.eq(None::<String>),
                endpoints::unsettled_since.eq(now),
                endpoints::version.eq(endpoints::version + 1),
                endpoints::updated_at.eq(now),
            ))
            .execute(conn)
            .await?;
        circuits::forget(conn, tenant_id, id).await?;
        Ok(Deletion::Done)
    })
    .await
}
