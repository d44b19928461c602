//! Keeping the queue small: each delivery leaves some dead rows behind, and claims read past them until they are gone.

use diesel::prelude::QueryableByName;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::store::StoreError;
use crate::store::statement::statement;

#[derive(QueryableByName)]
struct DeadRow {
    #[diesel(sql_type = BigInt)]
    dead: i64,
}

/// How many dead rows the queue has, by PostgreSQL's statistics, which are about a second old.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn dead_rows(conn: &mut AsyncPgConnection) -> Result<u64, StoreError> {
    let row: DeadRow =
        statement("SELECT pg_stat_get_dead_tuples('delivery_queue'::regclass) AS dead")
            .get_result(conn)
            .await?;
    Ok(u64::try_from(row.dead).unwrap_or(0))
}

/// Removes them, unless somebody is at it already. Not the table's end, which would lock everybody out: it is used
/// again at once.
///
/// # Errors
///
/// [`StoreError`]; what was removed until then is.
pub async fn vacuum(conn: &mut AsyncPgConnection) -> Result<(), StoreError> {
    Ok(conn
        .batch_execute("VACUUM (SKIP_LOCKED, TRUNCATE false) delivery_queue")
        .await?)
}
