//! What has become of deliveries, by the tables.

use anyhow::{Context, Result};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

const SETTLED_OR_QUEUED: &str = "
    SELECT count(*) AS count
    FROM deliveries
    WHERE event_type = $1
      AND (status = 'delivered'
           OR EXISTS (SELECT FROM delivery_queue q
                      WHERE q.tenant_id = deliveries.tenant_id AND q.delivery_id = deliveries.id))";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// How many deliveries are unfinished.
pub async fn unfinished(conn: &mut AsyncPgConnection) -> Result<i64> {
    let row: Count = sql_query("SELECT count(*) AS count FROM delivery_queue")
        .get_result(conn)
        .await
        .context("counting the queue")?;
    Ok(row.count)
}

/// How many deliveries of an event type have been delivered, or wait in the queue.
pub async fn settled_or_queued(conn: &mut AsyncPgConnection, event_type: &str) -> Result<i64> {
    let row: Count = sql_query(SETTLED_OR_QUEUED)
        .bind::<Text, _>(event_type)
        .get_result(conn)
        .await
        .context("counting deliveries")?;
    Ok(row.count)
}
