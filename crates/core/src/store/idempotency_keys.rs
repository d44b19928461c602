//! `Idempotency-Key`s: the first answer to a request, kept for 24 hours, in the commit of what it answers for.

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, insert_into};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::StoreError;
use super::schema::idempotency_keys;
use super::statement::statement;
use crate::ids::TenantId;

/// A request that carries a key.
#[derive(Clone, Debug)]
pub struct KeyedRequest<'a> {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The key: 1–255 visible ASCII characters.
    pub key: &'a str,
    /// The request's method.
    pub method: &'a str,
    /// The request's path.
    pub path: &'a str,
    /// SHA-256 of the request's body.
    pub fingerprint: [u8; 32],
}

/// What the key tells about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is the first: do it, and [`complete`] in the same transaction.
    First,
    /// It was answered with this.
    Answered(Vec<u8>),
    /// The key was used with another body.
    Conflict,
}

/// Takes the key, in the caller's transaction. Waits while another transaction has it and is not finished.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn begin(
    conn: &mut AsyncPgConnection,
    request: &KeyedRequest<'_>,
) -> Result<Begun, StoreError> {
    loop {
        if take(conn, request).await? {
            return Ok(Begun::First);
        }
        match find(conn, request).await? {
            Some((fingerprint, Some(answer))) if fingerprint == request.fingerprint => {
                return Ok(Begun::Answered(answer));
            }
            Some((_, Some(_))) => return Ok(Begun::Conflict),
            Some((_, None)) => {
                return Err(StoreError::corrupt("idempotency key", "it has no answer"));
            }
            // It was old, and forgotten between the two statements.
            None => {}
        }
    }
}

/// Whether nobody had the key.
async fn take(
    conn: &mut AsyncPgConnection,
    request: &KeyedRequest<'_>,
) -> Result<bool, StoreError> {
    let taken = insert_into(idempotency_keys::table)
        .values((
            idempotency_keys::tenant_id.eq(request.tenant_id.as_uuid()),
            idempotency_keys::key.eq(request.key),
            idempotency_keys::method.eq(request.method),
            idempotency_keys::path.eq(request.path),
            idempotency_keys::fingerprint.eq(request.fingerprint.as_slice()),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(taken == 1)
}

/// The fingerprint and the answer of whoever had the key. The row is locked, which makes this transaction's commit wait
/// for whatever commits wait for: the first one's may have been cut short, with its rows on the primary only.
async fn find(
    conn: &mut AsyncPgConnection,
    request: &KeyedRequest<'_>,
) -> Result<Option<(Vec<u8>, Option<Vec<u8>>)>, StoreError> {
    Ok(idempotency_keys::table
        .find((
            request.tenant_id.as_uuid(),
            request.key,
            request.method,
            request.path,
        ))
        .select((
            idempotency_keys::fingerprint,
            idempotency_keys::response_body,
        ))
        .for_key_share()
        .first(conn)
        .await
        .optional()?)
}

/// Keeps the answer, in the transaction that [`begin`] was called in.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn complete(
    conn: &mut AsyncPgConnection,
    request: &KeyedRequest<'_>,
    answer: &[u8],
) -> Result<(), StoreError> {
    diesel::update(idempotency_keys::table.find((
        request.tenant_id.as_uuid(),
        request.key,
        request.method,
        request.path,
    )))
    .set(idempotency_keys::response_body.eq(answer))
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets keys older than 24 hours, at most 10,000 at once. Returns their number.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn forget_old(conn: &mut AsyncPgConnection) -> Result<usize, StoreError> {
    Ok(statement(
        "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
             ORDER BY created_at LIMIT 10000))",
    )
    .execute(conn)
    .await?)
}
