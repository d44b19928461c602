//! Bringing the queue in line with endpoints whose status has changed, in small steps behind the request's back.
//!
//! Claims look at the status themselves, so nothing is sent to a disabled or deleted endpoint meanwhile; settling
//! takes its rows out of the way (or brings them back) so that claims need not hop over them for ever.

use diesel::prelude::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Integer, Text, Uuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::StoreError;
use super::statement::{Bind, statement};

/// Rows moved in one transaction. More would hold their locks for long; fewer cost more commits.
const BATCH: i32 = 1_000;

#[derive(QueryableByName)]
struct UnsettledRow {
    #[diesel(sql_type = Uuid)]
    tenant_id: uuid::Uuid,
    #[diesel(sql_type = Uuid)]
    id: uuid::Uuid,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Bool)]
    is_last_look: bool,
}

#[derive(QueryableByName)]
struct MovedRow {
    #[diesel(sql_type = BigInt)]
    moved: i64,
}

/// What one step of settling did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Rows were moved; there may be more.
    Moved(i64),
    /// Nothing is left to do now.
    Nothing,
}

/// Settles a batch of rows of one endpoint whose status has changed: a deleted one's unfinished deliveries become
/// `canceled`, a disabled one's are kept back, an enabled one's go on. Leased ones are left to their dispatchers.
/// An endpoint counts as settled when nothing was left a minute after its change (publishing may have been under way)
/// and, unless it is enabled, with none of its deliveries leased (they may come back).
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn settle_one(conn: &mut AsyncPgConnection) -> Result<Settled, StoreError> {
    conn.transaction(async |conn| {
        let endpoints: Vec<UnsettledRow> = statement(include_str!("sql/lock_unsettled.sql"))
            .load(conn)
            .await?;
        for endpoint in endpoints {
            let moved = settle(conn, &endpoint).await?;
            if moved > 0 {
                return Ok(Settled::Moved(moved));
            }
            if endpoint.is_last_look {
                mark_settled(conn, &endpoint).await?;
            }
        }
        Ok(Settled::Nothing)
    })
    .await
}

async fn settle(conn: &mut AsyncPgConnection, endpoint: &UnsettledRow) -> Result<i64, StoreError> {
    let sql = match endpoint.status.as_str() {
        "deleted" => include_str!("sql/settle_deleted.sql"),
        "disabled" => include_str!("sql/settle_disabled.sql"),
        _ => include_str!("sql/settle_enabled.sql"),
    };
    let row: MovedRow = statement(sql)
        .bind::<Uuid, _>(endpoint.tenant_id)
        .bind::<Uuid, _>(endpoint.id)
        .bind::<Integer, _>(BATCH)
        .get_result(conn)
        .await?;
    Ok(row.moved)
}

async fn mark_settled(
    conn: &mut AsyncPgConnection,
    endpoint: &UnsettledRow,
) -> Result<(), StoreError> {
    statement(include_str!("sql/mark_settled.sql"))
        .bind::<Uuid, _>(endpoint.tenant_id)
        .bind::<Uuid, _>(endpoint.id)
        .execute(conn)
        .await?;
    Ok(())
}
