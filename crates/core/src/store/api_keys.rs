//! API keys.

mod listing;

use diesel::dsl::now;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, IntoSql, JoinOnDsl, OptionalExtension, QueryDsl,
    insert_into, sql_types,
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use super::StoreError;
use super::schema::{api_keys, users};
use super::statement::{Bind, statement};
use super::users::read_scopes;
use crate::display_name::DisplayName;
use crate::ids::{ApiKeyId, TenantId, UserId};
use crate::scope::Scopes;
pub use listing::{ListedApiKey, list};

/// Keys of a user at most, expired ones included. More, and nobody knows any longer which are in use; a program needs
/// one, and two while it changes from one to the next.
pub const MAX_KEYS: i64 = 100;
/// How exactly a key's last use is kept; [`touch`] says the same in SQL.
const USE_PRECISION: time::Duration = time::Duration::MINUTE;

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
    /// When it ends by itself.
    pub expires_at: Option<OffsetDateTime>,
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
    pub name: &'a DisplayName,
    /// The part of the key that finds the row.
    pub prefix: &'a str,
    /// SHA-256 of the whole key.
    pub key_hash: &'a [u8],
    /// What it may do.
    pub scopes: &'a Scopes,
    /// When it ends by itself.
    pub expires_at: Option<OffsetDateTime>,
}

/// What came of keeping a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is kept since this instant.
    At(OffsetDateTime),
    /// The user has [`MAX_KEYS`] already, and nothing was kept.
    TooMany,
}

/// Keeps a new key, unless its user has [`MAX_KEYS`], which are counted by `api_keys_live_user_idx`.
///
/// # Errors
///
/// [`StoreError`], with nothing kept.
pub async fn insert(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    key: &NewApiKey<'_>,
) -> Result<Inserted, StoreError> {
    conn.transaction(async |conn| {
        // The lock makes keys of one user come one after the other, so that counting them is exact.
        users::table
            .find((tenant_id.as_uuid(), key.user_id.0))
            .select(users::id)
            .for_no_key_update()
            .first::<i64>(conn)
            .await?;
        let kept: i64 = api_keys::table
            .filter(api_keys::tenant_id.eq(tenant_id.as_uuid()))
            .filter(api_keys::user_id.eq(key.user_id.0))
            .filter(api_keys::revoked_at.is_null())
            .count()
            .get_result(conn)
            .await?;
        if kept >= MAX_KEYS {
            return Ok(Inserted::TooMany);
        }
        Ok(Inserted::At(insert_row(conn, tenant_id, key).await?))
    })
    .await
}

async fn insert_row(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    key: &NewApiKey<'_>,
) -> Result<OffsetDateTime, StoreError> {
    Ok(insert_into(api_keys::table)
        .values((
            api_keys::tenant_id.eq(tenant_id.as_uuid()),
            api_keys::id.eq(key.id.as_uuid()),
            api_keys::user_id.eq(key.user_id.0),
            api_keys::name.eq(key.name.as_str()),
            api_keys::prefix.eq(key.prefix),
            api_keys::key_hash.eq(key.key_hash),
            api_keys::scopes.eq(key
                .scopes
                .iter()
                .map(|scope| scope.as_str())
                .collect::<Vec<_>>()),
            api_keys::expires_at.eq(key.expires_at),
        ))
        .returning(api_keys::created_at)
        .get_result(conn)
        .await?)
}

/// Ends a key. False when the tenant has no such key, or has ended it before.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn revoke(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    id: ApiKeyId,
) -> Result<bool, StoreError> {
    let revoked = diesel::update(api_keys::table.find((tenant_id.as_uuid(), id.as_uuid())))
        .filter(api_keys::revoked_at.is_null())
        .set(api_keys::revoked_at.eq(now))
        .execute(conn)
        .await?;
    Ok(revoked == 1)
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
        Option<OffsetDateTime>,
        Option<OffsetDateTime>,
        OffsetDateTime,
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
            api_keys::expires_at,
            api_keys::last_used_at,
            now.into_sql::<sql_types::Timestamptz>(),
        ))
        .first::<Row>(conn)
        .await
        .optional()?;
    row.map(
        |(tenant_id, id, user_id, key_hash, scopes, user_scopes, expires_at, used_at, found_at)| {
            Ok(ApiKey {
                tenant_id: TenantId::from_uuid(tenant_id),
                id: ApiKeyId::from_uuid(id),
                user_id: UserId(user_id),
                key_hash,
                scopes: read_scopes(scopes)?.intersection(&read_scopes(user_scopes)?),
                expires_at,
                is_use_unnoted: used_at.is_none_or(|used_at| used_at < found_at - USE_PRECISION),
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
