//! Users.

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, insert_into};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::schema::users;
use super::{StoreError, only_row, stored};
use crate::ids::{TenantId, UserId};
use crate::scope::Scopes;

/// A user as authentication needs it.
#[derive(Clone)]
pub struct User {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The id.
    pub id: UserId,
    /// Argon2id in PHC string format.
    pub password_hash: String,
    /// Named by tokens; a changed password changes it.
    pub password_version: i32,
    /// What the user may do.
    pub scopes: Scopes,
}

type Row = (uuid::Uuid, i64, String, i32, Vec<Option<String>>);

const COLUMNS: (
    users::tenant_id,
    users::id,
    users::password_hash,
    users::password_version,
    users::scopes,
) = (
    users::tenant_id,
    users::id,
    users::password_hash,
    users::password_version,
    users::scopes,
);

fn from_row(
    (tenant_id, id, password_hash, password_version, scopes): Row,
) -> Result<User, StoreError> {
    Ok(User {
        tenant_id: TenantId::from_uuid(tenant_id),
        id: UserId(id),
        password_hash,
        password_version,
        scopes: read_scopes(scopes)?,
    })
}

/// Reads a `text[]` of scopes.
pub(super) fn read_scopes(words: Vec<Option<String>>) -> Result<Scopes, StoreError> {
    words
        .into_iter()
        .flatten()
        .map(|word| stored("scope", word.parse()))
        .collect()
}

/// Makes a user and returns its id.
///
/// # Errors
///
/// [`StoreError::Taken`] when the username is.
pub async fn insert(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    username: &str,
    password_hash: &str,
    scopes: &Scopes,
) -> Result<UserId, StoreError> {
    let ids = insert_into(users::table)
        .values((
            users::tenant_id.eq(tenant_id.as_uuid()),
            users::username.eq(username),
            users::password_hash.eq(password_hash),
            users::scopes.eq(scopes
                .iter()
                .map(|scope| scope.as_str())
                .collect::<Vec<_>>()),
        ))
        .returning(users::id)
        .load(conn)
        .await?;
    let id = only_row(ids).ok_or_else(|| StoreError::Corrupt("a user has no id".to_owned()))?;
    Ok(UserId(id))
}

/// Finds a user by name, over all tenants.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn find_by_name(
    conn: &mut AsyncPgConnection,
    username: &str,
) -> Result<Option<User>, StoreError> {
    let row = users::table
        .filter(users::username.eq(username))
        .select(COLUMNS)
        .first::<Row>(conn)
        .await
        .optional()?;
    row.map(from_row).transpose()
}

/// Finds a user of a tenant.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn find(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    id: UserId,
) -> Result<Option<User>, StoreError> {
    let row = users::table
        .find((tenant_id.as_uuid(), id.0))
        .select(COLUMNS)
        .first::<Row>(conn)
        .await
        .optional()?;
    row.map(from_row).transpose()
}

/// Sets a user's password, which ends every token made before. False when there is no such user.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn set_password(
    conn: &mut AsyncPgConnection,
    username: &str,
    password_hash: &str,
) -> Result<bool, StoreError> {
    let changed = diesel::update(users::table.filter(users::username.eq(username)))
        .set((
            users::password_hash.eq(password_hash),
            users::password_version.eq(users::password_version + 1),
            users::updated_at.eq(diesel::dsl::now),
        ))
        .execute(conn)
        .await?;
    Ok(changed == 1)
}
