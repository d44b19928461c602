//! Endpoints for the dispatcher.

use diesel::prelude::QueryableByName;
use diesel::sql_types::{self, Array, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use super::row::EndpointRow;
use crate::endpoint::Endpoint;
use crate::ids::{EndpointId, TenantId};
use crate::sealing::KeyRing;
use crate::store::StoreError;
use crate::store::statement::{Bind, statement};

/// An endpoint as a dispatcher needs it.
#[derive(Clone, Debug)]
pub struct LoadedEndpoint {
    /// Counts changes; a claim names the one that it was made for.
    pub version: i64,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The database's time when it was read, by which overlaps of secrets end.
    pub read_at: OffsetDateTime,
}

#[derive(QueryableByName)]
struct LoadedRow {
    #[diesel(embed)]
    endpoint: EndpointRow,
    #[diesel(sql_type = Timestamptz)]
    read_at: OffsetDateTime,
}

/// Loads the endpoints with these keys, for the dispatcher.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or a row can't be opened.
pub async fn load(
    conn: &mut AsyncPgConnection,
    keys: &KeyRing,
    ids: &[(TenantId, EndpointId)],
) -> Result<Vec<LoadedEndpoint>, StoreError> {
    let tenant_ids: Vec<_> = ids
        .iter()
        .map(|(tenant_id, _)| tenant_id.as_uuid())
        .collect();
    let endpoint_ids: Vec<_> = ids.iter().map(|(_, id)| id.as_uuid()).collect();
    // By pairs: `tenant_id = ANY (…) AND id = ANY (…)` would look up each id under each tenant.
    let rows: Vec<LoadedRow> = statement(
        "SELECT endpoints.*, clock_timestamp() AS read_at
         FROM unnest($1::uuid[], $2::uuid[]) AS wanted (tenant_id, id)
         JOIN endpoints ON endpoints.tenant_id = wanted.tenant_id AND endpoints.id = wanted.id",
    )
    .bind::<Array<sql_types::Uuid>, _>(tenant_ids)
    .bind::<Array<sql_types::Uuid>, _>(endpoint_ids)
    .load(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(LoadedEndpoint {
                version: row.endpoint.version,
                endpoint: row.endpoint.open(keys)?,
                read_at: row.read_at,
            })
        })
        .collect()
}
