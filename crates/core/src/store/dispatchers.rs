//! Dispatchers: their heartbeats, and what becomes of the leases of one that has fallen silent.

use diesel::sql_types::{Integer, Text, Uuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::StoreError;
use super::statement::{Bind, statement};
use crate::ids::DispatcherId;

#[derive(diesel::QueryableByName)]
struct AliveRow {
    #[diesel(sql_type = Uuid)]
    id: uuid::Uuid,
}

/// Notes that a dispatcher is alive, by the database's clock.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn beat(
    conn: &mut AsyncPgConnection,
    id: DispatcherId,
    hostname: &str,
) -> Result<(), StoreError> {
    statement(
        "INSERT INTO dispatchers (id, hostname, version) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET heartbeat_at = now()",
    )
    .bind::<Uuid, _>(id.as_uuid())
    .bind::<Text, _>(hostname)
    .bind::<Text, _>(env!("CARGO_PKG_VERSION"))
    .execute(conn)
    .await?;
    Ok(())
}

/// The dispatchers of which something was heard in the last `silence_seconds`.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn find_alive(
    conn: &mut AsyncPgConnection,
    silence_seconds: i32,
) -> Result<Vec<DispatcherId>, StoreError> {
    let found: Vec<AliveRow> = statement(
        "SELECT id FROM dispatchers WHERE heartbeat_at >= now() - make_interval(secs => $1)",
    )
    .bind::<Integer, _>(silence_seconds)
    .load(conn)
    .await?;
    let ids = found.iter().map(|one| DispatcherId::from_uuid(one.id));
    Ok(ids.collect())
}

/// Removes a dispatcher that has stopped cleanly.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked; its peers will remove it then.
pub async fn remove(conn: &mut AsyncPgConnection, id: DispatcherId) -> Result<(), StoreError> {
    statement("DELETE FROM dispatchers WHERE id = $1")
        .bind::<Uuid, _>(id.as_uuid())
        .execute(conn)
        .await?;
    Ok(())
}

/// Ends the leases of dispatchers that have been silent for `silence_seconds`, and forgets those dispatchers. The
/// deliveries are taken over like any with an expired lease. Returns the number of leases.
///
/// Only a dispatcher whose own heartbeat has succeeded without a break for that long may call this: after an outage
/// of PostgreSQL everybody looks silent.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn end_leases_of_silent(
    conn: &mut AsyncPgConnection,
    silence_seconds: i32,
) -> Result<usize, StoreError> {
    Ok(statement(include_str!("sql/end_leases_of_silent.sql"))
        .bind::<Integer, _>(silence_seconds)
        .execute(conn)
        .await?)
}
