//! Endpoints. Secrets and custom headers are sealed on their way in and opened on their way out.

mod change;
mod deletion;
mod keys;
mod load;
mod present;
mod resealing;
mod rotation;
mod row;

use diesel::dsl::now;
use diesel::sql_types::{Nullable, Timestamptz};
use diesel::{
    ExpressionMethods, IntoSql, OptionalExtension, QueryDsl, SelectableHelper, insert_into,
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use super::schema::{endpoint_limits, endpoints};
use super::tenants::bump_endpoints_version;
use super::{StoreError, circuits, only_row, stored};
use crate::endpoint::{Endpoint, EndpointSettings, EndpointStatus};
use crate::endpoint_url::EndpointUrl;
use crate::event_type::EventPattern;
use crate::ids::{EndpointId, TenantId, UserId};
use crate::sealing::KeyRing;
use row::{EndpointRow, SettingsRow};

pub use change::{Changed, EndpointChange, change};
pub use deletion::{Deletion, delete};
pub use keys::{WrongKeys, check_keys};
pub use load::{LoadedEndpoint, load};
pub(super) use present::IsPresent;
pub use resealing::{ResealedBatch, reseal};
pub use rotation::{OverlapLength, forget_expired_secrets, rotate_secret};
pub(super) use row::{read_policy, read_status};

/// Endpoints of a tenant at most, deleted ones left out: the contract's limit.
pub const MAX_ENDPOINTS: i64 = 10_000;

/// An endpoint to be made.
#[derive(Clone, Debug)]
pub struct NewEndpoint {
    /// Its id.
    pub id: EndpointId,
    /// The user who makes it.
    pub owner: UserId,
    /// What its owner decided.
    pub settings: EndpointSettings,
    /// Whether it receives anything from the start.
    pub status: EndpointStatus,
}

/// What came of making an endpoint.
#[derive(Clone, Debug)]
pub enum Made {
    /// It is there.
    Endpoint(Box<Endpoint>),
    /// The tenant has [`MAX_ENDPOINTS`] already, and nothing was made.
    TooMany,
}

/// Makes an endpoint, unless the tenant has [`MAX_ENDPOINTS`]. Every publish call that begins after this has returned
/// sees it.
///
/// # Errors
///
/// [`StoreError`], with nothing made.
pub async fn insert(
    conn: &mut AsyncPgConnection,
    keys: &KeyRing,
    tenant_id: TenantId,
    new: &NewEndpoint,
) -> Result<Made, StoreError> {
    let settings = SettingsRow::seal(keys, tenant_id, new.id, &new.settings);
    conn.transaction(async |conn| {
        // First, since it locks the tenant's row: two that are made at once come one after the other, and both count.
        bump_endpoints_version(conn, tenant_id).await?;
        if count(conn, tenant_id).await? >= MAX_ENDPOINTS {
            return Ok(Made::TooMany);
        }
        let row: EndpointRow = insert_into(endpoints::table)
            .values((
                endpoints::tenant_id.eq(tenant_id.as_uuid()),
                endpoints::id.eq(new.id.as_uuid()),
                endpoints::user_id.eq(new.owner.0),
                endpoints::status.eq(new.status.as_str()),
                endpoints::disabled_reason.eq(row::disabled_reason(&new.status)),
                &settings,
            ))
            .returning(EndpointRow::as_returning())
            .get_result(conn)
            .await?;
        note_limits(conn, tenant_id, new.id, &new.settings).await?;
        Ok(Made::Endpoint(Box::new(row.open(keys)?)))
    })
    .await
}

/// Finds an endpoint, a deleted one too.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or the row can't be opened.
pub async fn find(
    conn: &mut AsyncPgConnection,
    keys: &KeyRing,
    tenant_id: TenantId,
    id: EndpointId,
) -> Result<Option<Endpoint>, StoreError> {
    let row = endpoints::table
        .find((tenant_id.as_uuid(), id.as_uuid()))
        .select(EndpointRow::as_select())
        .first(conn)
        .await
        .optional()?;
    row.map(|row: EndpointRow| row.open(keys)).transpose()
}

/// Lists a tenant's endpoints, newest first, deleted ones left out.
///
/// Index: `endpoints_present_idx`.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or a row can't be opened.
pub async fn list(
    conn: &mut AsyncPgConnection,
    keys: &KeyRing,
    tenant_id: TenantId,
    before: Option<EndpointId>,
    limit: i64,
) -> Result<Vec<Endpoint>, StoreError> {
    let mut query = endpoints::table
        .filter(endpoints::tenant_id.eq(tenant_id.as_uuid()))
        .filter(IsPresent)
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(endpoints::id.lt(before.as_uuid()));
    }
    let rows: Vec<EndpointRow> = query
        .order(endpoints::id.desc())
        .limit(limit)
        .select(EndpointRow::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(|row| row.open(keys)).collect()
}

/// Sees to it that an endpoint with a limit has the row that its claims lock. One that has it keeps it: what it holds
/// is not looked at without a limit.
async fn note_limits(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    id: EndpointId,
    settings: &EndpointSettings,
) -> Result<(), StoreError> {
    if settings.limits.is_any() {
        insert_into(endpoint_limits::table)
            .values((
                endpoint_limits::tenant_id.eq(tenant_id.as_uuid()),
                endpoint_limits::endpoint_id.eq(id.as_uuid()),
            ))
            .on_conflict_do_nothing()
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// Disables an enabled endpoint because of what it answered. Nothing happens to one that is not enabled, or that has
/// been changed since: the answer was another URL's, perhaps.
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn disable(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    id: EndpointId,
    version: i64,
    reason: &str,
) -> Result<(), StoreError> {
    let disabled = diesel::update(
        endpoints::table
            .find((tenant_id.as_uuid(), id.as_uuid()))
            .filter(endpoints::status.eq(EndpointStatus::Enabled.as_str()))
            .filter(endpoints::version.eq(version)),
    )
    .set((
        endpoints::status.eq("disabled"),
        endpoints::disabled_reason.eq(reason),
        endpoints::unsettled_since.eq(now),
        endpoints::updated_at.eq(now),
    ))
    .execute(conn)
    .await?;
    if disabled > 0 {
        circuits::forget(conn, tenant_id, id).await?;
        bump_endpoints_version(conn, tenant_id).await?;
    }
    Ok(())
}

/// Notes that the receiver at this URL has echoed a challenge. `None`, and nothing noted, when the endpoint has another
/// URL by now, or is deleted.
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn note_verified(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    id: EndpointId,
    url: &EndpointUrl,
) -> Result<Option<OffsetDateTime>, StoreError> {
    let noted: Vec<Option<OffsetDateTime>> = diesel::update(
        endpoints::table
            .find((tenant_id.as_uuid(), id.as_uuid()))
            .filter(endpoints::url.eq(url.as_str()))
            .filter(endpoints::status.ne(EndpointStatus::Deleted.as_str())),
    )
    .set(endpoints::verified_at.eq(now.into_sql::<Nullable<Timestamptz>>()))
    .returning(endpoints::verified_at)
    .load(conn)
    .await?;
    Ok(only_row(noted).flatten())
}

/// Counts a tenant's endpoints, deleted ones left out; by `endpoints_present_idx`.
async fn count(conn: &mut AsyncPgConnection, tenant_id: TenantId) -> Result<i64, StoreError> {
    Ok(endpoints::table
        .filter(endpoints::tenant_id.eq(tenant_id.as_uuid()))
        .filter(IsPresent)
        .count()
        .get_result(conn)
        .await?)
}

pub(super) fn read_patterns(
    patterns: Vec<Option<String>>,
) -> Result<Vec<EventPattern>, StoreError> {
    patterns
        .into_iter()
        .flatten()
        .map(|pattern| stored("event pattern", EventPattern::parse(&pattern)))
        .collect()
}
