//! Attempts: reading them. They are written by [`recording`](super::recording).

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::prelude::{Queryable, QueryableByName, Selectable};
use diesel::sql_types;
use diesel::{OptionalExtension, QueryDsl, SelectableHelper};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use uuid::Uuid;

use super::schema::attempts;
use super::statement::{Bind, statement};
use super::{StoreError, stored};
use crate::attempt::{Attempt, AttemptError, RecordedResponse};
use crate::ids::{AttemptId, DeliveryId, TenantId};

#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = attempts)]
struct AttemptRow {
    id: Uuid,
    number: i32,
    started_at: OffsetDateTime,
    duration_ms: Option<i32>,
    request_headers: Option<String>,
    response_status: Option<i32>,
    response_headers: Option<String>,
    response_body: Option<Vec<u8>>,
    response_body_truncated: bool,
    error_kind: Option<String>,
    error_message: Option<String>,
    remote_ip: Option<String>,
}

/// Headers as a JSON object, in their order.
struct Headers<'a>(&'a [(String, String)]);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Headers as they are stored.
pub(super) fn write_headers(headers: &[(String, String)]) -> String {
    serde_json::to_string(&Headers(headers)).expect("texts can be written as JSON")
}

fn read_headers(headers: Option<&str>) -> Result<Vec<(String, String)>, StoreError> {
    let Some(headers) = headers else {
        return Ok(Vec::new());
    };
    let by_name: BTreeMap<String, String> = stored("headers", serde_json::from_str(headers))?;
    Ok(by_name.into_iter().collect())
}

fn read_row(row: AttemptRow) -> Result<Attempt, StoreError> {
    let response = match row.response_status {
        None => None,
        Some(status) => Some(RecordedResponse {
            status: stored("HTTP status", u16::try_from(status))?,
            headers: read_headers(row.response_headers.as_deref())?,
            body: row.response_body.unwrap_or_default(),
            body_truncated: row.response_body_truncated,
        }),
    };
    Ok(Attempt {
        id: AttemptId::from_uuid(row.id),
        number: stored("attempt number", u32::try_from(row.number))?,
        started_at: row.started_at,
        duration: row
            .duration_ms
            .map(|milliseconds| {
                stored("duration", u64::try_from(milliseconds)).map(Duration::from_millis)
            })
            .transpose()?,
        request_headers: read_headers(row.request_headers.as_deref())?,
        response,
        error: row
            .error_kind
            .zip(row.error_message)
            .map(|(kind, message)| {
                stored("error kind", kind.parse()).map(|kind| AttemptError { kind, message })
            })
            .transpose()?,
        remote_ip: row
            .remote_ip
            .map(|ip| stored("remote ip", ip.parse()))
            .transpose()?,
    })
}

/// Finds one attempt that has ended, by the primary key.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or the row can't be read.
pub async fn find(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    id: AttemptId,
) -> Result<Option<Attempt>, StoreError> {
    let row: Option<AttemptRow> = attempts::table
        .find((tenant_id.as_uuid(), id.as_uuid()))
        .select(AttemptRow::as_select())
        .first(conn)
        .await
        .optional()?;
    row.map(read_row).transpose()
}

/// Lists the attempts of a delivery that have ended, the first one first, by `attempts_delivery_idx`. There are at
/// most 51: the policy's limit of 50 retries. `None` when there is no such delivery.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked or a row can't be read.
pub async fn list(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    delivery_id: DeliveryId,
) -> Result<Option<Vec<Attempt>>, StoreError> {
    let rows: Vec<Option<AttemptRow>> = statement(include_str!("sql/list_attempts.sql"))
        .bind::<sql_types::Uuid, _>(tenant_id.as_uuid())
        .bind::<sql_types::Uuid, _>(delivery_id.as_uuid())
        .load(conn)
        .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut rows: Vec<AttemptRow> = rows.into_iter().flatten().collect();
    // Not by their ids: these are of several dispatchers' clocks.
    rows.sort_by_key(|row| row.number);
    let attempts: Result<Vec<Attempt>, StoreError> = rows.into_iter().map(read_row).collect();
    attempts.map(Some)
}
