//! What was sent to one endpoint, as B's family lists it: one element per event, with its newest delivery.

use diesel::prelude::QueryableByName;
use diesel::sql_types::{self, BigInt, Bool, Integer, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::deliveries::DeliveryRow;
use super::scan::{ScannedPage, ScannedRow};
use super::statement::{Bind, statement};
use super::{StoreError, stored};
use crate::attempt_outcome::ErrorKind;
use crate::delivery::Delivery;
use crate::ids::{DeliveryId, EndpointId, TenantId};

/// An event that was sent to an endpoint.
#[derive(Clone, Debug)]
pub struct HookRequest {
    /// The newest delivery: a replay, if there is one.
    pub newest: Delivery,
    /// The receiver's answer to its attempt that is next or was last, if it was a whole one.
    pub response_status: Option<u16>,
    /// How long that attempt took, in milliseconds; `None` while it has not ended.
    pub duration_ms: Option<u64>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(embed)]
    newest: DeliveryRow,
    #[diesel(sql_type = sql_types::Uuid)]
    request_id: Uuid,
    #[diesel(sql_type = Bool)]
    is_match: bool,
    #[diesel(sql_type = Bool)]
    is_last_scanned: bool,
    #[diesel(sql_type = Nullable<Integer>)]
    response_status: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    duration_ms: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    error_kind: Option<String>,
}

impl Row {
    fn read(self) -> Result<ScannedRow<HookRequest>, StoreError> {
        let error_kind = self
            .error_kind
            .map(|kind| stored("error kind", kind.parse::<ErrorKind>()))
            .transpose()?;
        let status = self
            .response_status
            .map(|status| stored("HTTP status", u16::try_from(status)))
            .transpose()?;
        let duration_ms = self
            .duration_ms
            .map(|duration| stored("duration", u64::try_from(duration)))
            .transpose()?;
        Ok(ScannedRow {
            id: self.request_id,
            is_match: self.is_match,
            is_last_scanned: self.is_last_scanned,
            item: HookRequest {
                newest: self.newest.read(false)?,
                response_status: status
                    .filter(|_| error_kind.is_none_or(ErrorKind::is_whole_answer)),
                duration_ms,
            },
        })
    }
}

/// Lists what was sent to an endpoint, newest first, from before an id. At most 1,500 rows are read for a page.
///
/// Index: `deliveries_endpoint_idx`.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or a row can't be read.
pub async fn list(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    endpoint_id: EndpointId,
    before: Option<DeliveryId>,
    limit: usize,
) -> Result<ScannedPage<HookRequest>, StoreError> {
    let rows: Vec<Row> = statement(include_str!("sql/list_hook_requests.sql"))
        .bind::<sql_types::Uuid, _>(tenant_id.as_uuid())
        .bind::<sql_types::Uuid, _>(endpoint_id.as_uuid())
        .bind::<sql_types::Uuid, _>(before.map_or(Uuid::max(), DeliveryId::as_uuid))
        .bind::<BigInt, _>(i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX))
        .load(conn)
        .await?;
    let rows: Result<_, StoreError> = rows.into_iter().map(Row::read).collect();
    Ok(ScannedPage::cut(rows?, limit))
}
