//! The keys of a tenant, as it sees them.

use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use crate::ids::{ApiKeyId, TenantId, UserId};
use crate::scope::Scopes;
use crate::store::StoreError;
use crate::store::schema::api_keys;
use crate::store::users::read_scopes;

/// An API key as its tenant sees it. Revoked ones are never listed.
#[derive(Clone, Debug)]
pub struct ListedApiKey {
    /// The id.
    pub id: ApiKeyId,
    /// Whose key it is.
    pub user_id: UserId,
    /// For people.
    pub name: String,
    /// The part of the key that is no secret.
    pub prefix: String,
    /// What it may do, as far as its user may.
    pub scopes: Scopes,
    /// When it ends by itself.
    pub expires_at: Option<OffsetDateTime>,
    /// Its last use, exact to a minute.
    pub last_used_at: Option<OffsetDateTime>,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

/// Lists a tenant's keys, newest first.
///
/// Index: `api_keys_live_idx`.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn list(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    before: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ListedApiKey>, StoreError> {
    type Row = (
        uuid::Uuid,
        i64,
        String,
        String,
        Vec<Option<String>>,
        Option<OffsetDateTime>,
        Option<OffsetDateTime>,
        OffsetDateTime,
    );
    let before = before.map_or(uuid::Uuid::max(), ApiKeyId::as_uuid);
    let rows: Vec<Row> = api_keys::table
        .filter(api_keys::tenant_id.eq(tenant_id.as_uuid()))
        .filter(api_keys::id.lt(before))
        .filter(api_keys::revoked_at.is_null())
        .order(api_keys::id.desc())
        .limit(limit)
        .select((
            api_keys::id,
            api_keys::user_id,
            api_keys::name,
            api_keys::prefix,
            api_keys::scopes,
            api_keys::expires_at,
            api_keys::last_used_at,
            api_keys::created_at,
        ))
        .load(conn)
        .await?;
    rows.into_iter()
        .map(
            |(id, user_id, name, prefix, scopes, expires_at, last_used_at, created_at)| {
                Ok(ListedApiKey {
                    id: ApiKeyId::from_uuid(id),
                    user_id: UserId(user_id),
                    name,
                    prefix,
                    scopes: read_scopes(scopes)?,
                    expires_at,
                    last_used_at,
                    created_at,
                })
            },
        )
        .collect()
}
