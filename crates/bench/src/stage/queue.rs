//! What has become of deliveries, by the tables.

use anyhow::{Context, Result};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

const DELIVERED_OR_QUEUED: &str = "
    SELECT count(*) AS count
    FROM deliveries
    WHERE event_type = $1
      AND (status = 'delivered'
           OR EXISTS (SELECT FROM delivery_queue q
                      WHERE q.tenant_id = deliveries.tenant_id AND q.delivery_id = deliveries.id))";
const LEASED_BY: &str = r#"
    SELECT substring(convert_from(events.payload, 'UTF8') FROM '"seq":"(\d+)"')::int8 AS count
    FROM delivery_queue q
    JOIN events ON events.tenant_id = q.tenant_id AND events.id = q.event_id
    WHERE q.leased_by = $1"#;
const ATTEMPTS_BY_DISPATCHER: &str =
    "SELECT count(*) AS count FROM attempts GROUP BY dispatcher_id ORDER BY count DESC";
const NEWEST_DISPATCHER: &str = "SELECT id FROM dispatchers ORDER BY started_at DESC LIMIT 1";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
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
pub async fn delivered_or_queued(conn: &mut AsyncPgConnection, event_type: &str) -> Result<i64> {
    let row: Count = sql_query(DELIVERED_OR_QUEUED)
        .bind::<Text, _>(event_type)
        .get_result(conn)
        .await
        .context("counting deliveries")?;
    Ok(row.count)
}

/// The numbers of the events that a dispatcher has leased.
pub async fn leased_by(conn: &mut AsyncPgConnection, dispatcher: Uuid) -> Result<Vec<u64>> {
    let rows: Vec<Count> = sql_query(LEASED_BY)
        .bind::<SqlUuid, _>(dispatcher)
        .load(conn)
        .await
        .context("reading leases")?;
    let sequences = rows.into_iter().map(|row| u64::try_from(row.count));
    Ok(sequences.collect::<Result<_, _>>()?)
}

/// How many attempts each dispatcher has made, the busiest first.
pub async fn attempts_by_dispatcher(conn: &mut AsyncPgConnection) -> Result<Vec<i64>> {
    let rows: Vec<Count> = sql_query(ATTEMPTS_BY_DISPATCHER)
        .load(conn)
        .await
        .context("counting attempts")?;
    Ok(rows.into_iter().map(|row| row.count).collect())
}

/// The dispatcher that was started last.
pub async fn newest_dispatcher(conn: &mut AsyncPgConnection) -> Result<Uuid> {
    let row: Id = sql_query(NEWEST_DISPATCHER)
        .get_result(conn)
        .await
        .context("reading dispatchers")?;
    Ok(row.id)
}
