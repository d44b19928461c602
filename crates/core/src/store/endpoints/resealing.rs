//! Sealing anew what earlier master keys have sealed, so that these can be retired.

use diesel::QueryableByName;
use diesel::sql_types::{self, Array, Bytea, Nullable};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::row::{CUSTOM_HEADERS, PREVIOUS_SECRET, SECRET, seal_context};
use crate::ids::{EndpointId, TenantId};
use crate::sealing::{KeyRing, OpenError};
use crate::store::StoreError;
use crate::store::statement::{Bind, statement};

/// What was done to some endpoints.
#[derive(Clone, Debug, Default)]
pub struct ResealedBatch {
    /// How many were sealed anew.
    pub resealed: usize,
    /// Those that no key of the ring opens; they stay as they are.
    pub unreadable: Vec<EndpointId>,
    /// The last one that was looked at: go on after it. `None` when there was none.
    pub last: Option<(TenantId, EndpointId)>,
}

/// The sealed columns of an endpoint.
#[derive(QueryableByName)]
struct Sealed {
    #[diesel(sql_type = sql_types::Uuid)]
    tenant_id: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = Bytea)]
    secret_sealed: Vec<u8>,
    #[diesel(sql_type = Nullable<Bytea>)]
    previous_secret_sealed: Option<Vec<u8>>,
    #[diesel(sql_type = Bytea)]
    custom_headers_sealed: Vec<u8>,
}

impl Sealed {
    fn reseal(self, keys: &KeyRing) -> Result<Self, OpenError> {
        let reseal = |column, sealed: &[u8]| {
            let context = seal_context(self.tenant_id, self.id, column);
            let plain = keys.open(sealed, &context)?;
            Ok(keys.seal(&plain, &context))
        };
        let previous = self.previous_secret_sealed.as_deref();
        Ok(Self {
            secret_sealed: reseal(SECRET, &self.secret_sealed)?,
            previous_secret_sealed: previous
                .map(|sealed| reseal(PREVIOUS_SECRET, sealed))
                .transpose()?,
            custom_headers_sealed: reseal(CUSTOM_HEADERS, &self.custom_headers_sealed)?,
            ..self
        })
    }
}

/// Seals a hundred endpoints with the current key that an earlier one has sealed, deleted ones too, in the order of
/// their keys after `after`. What they hold stays, so no dispatcher has to load them anew.
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn reseal(
    conn: &mut AsyncPgConnection,
    keys: &KeyRing,
    after: Option<(TenantId, EndpointId)>,
) -> Result<ResealedBatch, StoreError> {
    let (tenant_id, id) = after.map_or((Uuid::nil(), Uuid::nil()), |(tenant_id, id)| {
        (tenant_id.as_uuid(), id.as_uuid())
    });
    conn.transaction(async move |conn| {
        // The locks keep a change from being overwritten with what was there before it.
        let found: Vec<Sealed> = statement(include_str!("../sql/lock_sealed_before.sql"))
            .bind::<Bytea, _>(keys.current_header().to_vec())
            .bind::<sql_types::Uuid, _>(tenant_id)
            .bind::<sql_types::Uuid, _>(id)
            .load(conn)
            .await?;
        let mut batch = ResealedBatch::default();
        let mut resealed = Vec::new();
        for sealed in found {
            let id = EndpointId::from_uuid(sealed.id);
            batch.last = Some((TenantId::from_uuid(sealed.tenant_id), id));
            match sealed.reseal(keys) {
                Ok(sealed) => resealed.push(sealed),
                Err(_) => batch.unreadable.push(id),
            }
        }
        batch.resealed = write(conn, &resealed).await?;
        Ok(batch)
    })
    .await
}

/// Writes rows that the transaction has locked.
async fn write(conn: &mut AsyncPgConnection, rows: &[Sealed]) -> Result<usize, StoreError> {
    fn column<'a, T>(rows: &'a [Sealed], value: impl Fn(&'a Sealed) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }
    let secrets = column(rows, |row| row.secret_sealed.as_slice());
    let previous = column(rows, |row| row.previous_secret_sealed.as_deref());
    let headers = column(rows, |row| row.custom_headers_sealed.as_slice());
    Ok(statement(
        "UPDATE endpoints
         SET secret_sealed = anew.secret, previous_secret_sealed = anew.previous, custom_headers_sealed = anew.headers
         FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bytea[], $5::bytea[])
             AS anew (tenant_id, id, secret, previous, headers)
         WHERE endpoints.tenant_id = anew.tenant_id AND endpoints.id = anew.id",
    )
    .bind::<Array<sql_types::Uuid>, _>(column(rows, |row| row.tenant_id))
    .bind::<Array<sql_types::Uuid>, _>(column(rows, |row| row.id))
    .bind::<Array<Bytea>, _>(secrets)
    .bind::<Array<Nullable<Bytea>>, _>(previous)
    .bind::<Array<Bytea>, _>(headers)
    .execute(conn)
    .await?)
}
