//! API keys.

use diesel::dsl::now;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, IntoSql, JoinOnDsl, OptionalExtension, QueryDsl,
    insert_into, sql_types,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use super::StoreError;
use super::schema::{api_keys, users};
use super::statement::{Bind, statement};
use super::users::read_scopes;
use crate::ids::{ApiKeyId, TenantId, UserId};
use crate::scope::Scopes;

/// An API key as authentication needs it. Revoked and expired ones are never found.
#[derive(Clone)]
pub struct ApiKey {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The id.
    pub id: ApiKeyId,
    /// Whose key it is.
    pub user_id: UserId,
    /// SHA-256 of the whole key.
    pub key_hash: Vec<u8>,
    /// What both the key and its user may do.
    pub scopes: Scopes,
    /// Whether `last_used_at` is more than a minute behind: see [`touch`].
    pub is_use_unnoted: bool,
}

/// What is kept of a new key.
#[derive(Clone, Debug)]
pub struct NewApiKey<'a> {
    /// The id.
    pub id: ApiKeyId,
    /// Whose key it is.
    pub user_id: UserId,
    /// For people.
    pub name: &'a str,
    /// The part of the key that finds the row.
    pub prefix: &'a str,
    /// SHA-256 of the whole key.
    pub key_hash: &'a [u8],
    /// What it may do.
    pub scopes: &'a Scopes,
    /// When it ends by itself.
    pub expires_at: Option<OffsetDateTime>,
}

/// Keeps a new key.
///
/// # Errors
///
/// [`StoreError`], with nothing kept.
pub async fn insert(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    key: &NewApiKey<'_>,
) -> Result<(), StoreError> {
    insert_into(api_keys::table)
        .values((
            api_keys::tenant_id.eq(tenant_id.as_uuid()),
            api_keys::id.eq(key.id.as_uuid()),
            api_keys::user_id.eq(key.user_id.0),
            api_keys::name.eq(key.name),
            api_keys::prefix.eq(key.prefix),
            api_keys::key_hash.eq(key.key_hash),
            api_keys::scopes.eq(key
                .scopes
                .iter()
                .map(|scope| scope.as_str())
                .collect::<Vec<_>>()),
            api_keys::expires_at.eq(key.expires_at),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Finds a live key by its prefix, over all tenants. The caller compares the hash.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn find_by_prefix(
    conn: &mut AsyncPgConnection,
    prefix: &str,
) -> Result<Option<ApiKey>, StoreError> {
    type Row = (
        uuid::Uuid,
        uuid::Uuid,
        i64,
        Vec<u8>,
        Vec<Option<String>>,
        Vec<Option<String>>,
        bool,
    );
    let row = api_keys::table
        .inner_join(
            users::table.on(users::tenant_id
                .eq(api_keys::tenant_id)
                .and(users::id.eq(api_keys::user_id))),
        )
        .filter(api_keys::prefix.eq(prefix))
        .filter(api_keys::revoked_at.is_null())
        .filter(api_keys::expires_at.is_null().or(
            api_keys::expires_at.gt(now.into_sql::<sql_types::Nullable<sql_types::Timestamptz>>()),
        ))
        .select((
            api_keys::tenant_id,
            api_keys::id,
            api_keys::user_id,
            api_keys::key_hash,
            api_keys::scopes,
            users::scopes,
            diesel::dsl::sql::<sql_types::Bool>(
                "coalesce(last_used_at < now() - interval '1 minute', true)",
            ),
        ))
        .first::<Row>(conn)
        .await
        .optional()?;
    row.map(
        |(tenant_id, id, user_id, key_hash, scopes, user_scopes, is_use_unnoted)| {
            Ok(ApiKey {
                tenant_id: TenantId::from_uuid(tenant_id),
                id: ApiKeyId::from_uuid(id),
                user_id: UserId(user_id),
                key_hash,
                scopes: read_scopes(scopes)?.intersection(&read_scopes(user_scopes)?),
                is_use_unnoted,
            })
        },
    )
    .transpose()
}

/// Notes that a key was used, exact to a minute so that a busy key does not write at every request.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn touch(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    id: ApiKeyId,
) -> Result<(), StoreError> {
    statement(
        "UPDATE api_keys SET last_used_at = now() WHERE tenant_id = $1 AND id = $2
         AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')",
    )
    .bind::<sql_types::Uuid, _>(tenant_id.as_uuid())
    .bind::<sql_types::Uuid, _>(id.as_uuid())
    .execute(conn)
    .await?;
    Ok(())
}
