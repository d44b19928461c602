//! Partitions of the history: one per table and week, by range of UUIDv7.
//!
//! Weeks, not days: 90 days of retention are 15 partitions then, and a list query that visits all of them still plans
//! in well under a millisecond. Retention is exact to a week.

use diesel::sql_types::{Array, BigInt, Bool, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime, Time, Weekday};
use tracing::info;

use super::StoreError;
use super::statement::{Bind, statement};
use crate::ids::first_uuid_at;

const TABLES: [&str; 3] = ["events", "deliveries", "attempts"];

/// How far ahead partitions are made. Both programs look hourly, so that two weeks without either of them pass
/// before an insert finds no partition.
const AHEAD: Duration = Duration::weeks(2);

/// Names the lock under which one process at a time makes or drops partitions.
const LOCK: i64 = 0x7061_7274_6974_696f;

/// How long dropping a partition waits for whoever reads or writes the table. All that publishes waits behind it, so
/// longer is an outage; shorter, and a busy table's partitions stay for long.
const DROP_WAIT: &str = "200ms";

/// The Monday on or before a date.
fn week_of(instant: OffsetDateTime) -> Date {
    let date = instant.to_offset(time::UtcOffset::UTC).date();
    if date.weekday() == Weekday::Monday {
        date
    } else {
        date.prev_occurrence(Weekday::Monday)
    }
}

fn start_of(week: Date) -> OffsetDateTime {
    week.with_time(Time::MIDNIGHT).assume_utc()
}

fn partition_name(table: &str, week: Date) -> String {
    format!(
        "{table}_{:04}{:02}{:02}",
        week.year(),
        u8::from(week.month()),
        week.day()
    )
}

/// The week that a partition holds, from its name.
fn week_in_name(name: &str) -> Option<Date> {
    let (_, digits) = name.rsplit_once('_')?;
    Date::parse(digits, format_description!("[year][month][day]")).ok()
}

#[derive(diesel::QueryableByName)]
struct PartitionRow {
    #[diesel(sql_type = Text)]
    parent: String,
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(diesel::QueryableByName)]
struct NowRow {
    #[diesel(sql_type = Timestamptz)]
    now: OffsetDateTime,
}

/// The partitions there are, as (table, week).
async fn list(conn: &mut AsyncPgConnection) -> Result<Vec<(String, Date)>, StoreError> {
    let rows: Vec<PartitionRow> = statement(
        "SELECT parent.relname::text AS parent, child.relname::text AS name
         FROM pg_inherits
         JOIN pg_class parent ON parent.oid = inhparent
         JOIN pg_class child ON child.oid = inhrelid
         WHERE parent.oid = ANY (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)",
    )
    .bind::<Array<Text>, _>(TABLES.as_slice())
    .load(conn)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.parent, week_in_name(&row.name)?)))
        .collect())
}

async fn database_now(conn: &mut AsyncPgConnection) -> Result<OffsetDateTime, StoreError> {
    let row: NowRow = statement("SELECT now() AS now").get_result(conn).await?;
    Ok(row.now)
}

/// Takes the partition lock until the transaction ends; waits at most ten seconds for it, and for any lock after it.
async fn lock(conn: &mut AsyncPgConnection) -> Result<(), StoreError> {
    conn.batch_execute("SET LOCAL lock_timeout = '10s'").await?;
    statement("SELECT pg_advisory_xact_lock($1)")
        .bind::<BigInt, _>(LOCK)
        .execute(conn)
        .await?;
    Ok(())
}

/// Makes the partitions that are missing from last week until two weeks ahead. (Last week: ids carry the clock of
/// the machine that makes them, which may be behind.)
///
/// # Errors
///
/// [`StoreError`]; the partitions made before the failure stand, and the call can be repeated.
pub async fn keep_ahead(conn: &mut AsyncPgConnection) -> Result<(), StoreError> {
    let now = database_now(conn).await?;
    if horizon_of(&list(conn).await?).is_some_and(|horizon| horizon >= now + AHEAD) {
        return Ok(());
    }
    let mut week = week_of(now - Duration::WEEK);
    while start_of(week) < now + AHEAD + Duration::WEEK {
        for table in TABLES {
            // Each in a transaction of its own, so that one that fails undoes no other.
            conn.transaction(async |conn| create_if_missing(conn, table, week).await)
                .await?;
        }
        week = week.saturating_add(Duration::WEEK);
    }
    Ok(())
}

async fn create_if_missing(
    conn: &mut AsyncPgConnection,
    table: &str,
    week: Date,
) -> Result<(), StoreError> {
    lock(conn).await?;
    let existing = list(conn).await?;
    if existing
        .iter()
        .any(|(parent, there)| parent == table && *there == week)
    {
        return Ok(());
    }
    create(conn, table, week).await
}

/// Creating and then attaching takes a weaker lock on the parent than `CREATE TABLE … PARTITION OF`, so that
/// publishing goes on meanwhile.
async fn create(conn: &mut AsyncPgConnection, table: &str, week: Date) -> Result<(), StoreError> {
    let name = partition_name(table, week);
    let from = first_uuid_at(start_of(week));
    let to = first_uuid_at(start_of(week.saturating_add(Duration::WEEK)));
    conn.batch_execute(&format!(
        "CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)
                                  WITH (fillfactor = {});
         ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}');",
        fillfactor(table)
    ))
    .await?;
    info!(partition = name, "Made partition {name}");
    Ok(())
}

/// How full pages are filled, in percent. A delivery changes soon after it was inserted, and each row's next version
/// has to find room in its own page; nothing else changes.
fn fillfactor(table: &str) -> u8 {
    if table == "deliveries" { 50 } else { 100 }
}

/// Until when every table has partitions, by the newest of each.
fn horizon_of(partitions: &[(String, Date)]) -> Option<OffsetDateTime> {
    TABLES
        .iter()
        .map(|table| {
            partitions
                .iter()
                .filter(|(parent, _)| parent == table)
                .map(|(_, week)| *week)
                .max()
        })
        .collect::<Option<Vec<Date>>>()?
        .into_iter()
        .min()
        .map(|week| start_of(week) + Duration::WEEK)
}

/// How long publishing can go on with the partitions there are; negative when it can't now.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn remaining(conn: &mut AsyncPgConnection) -> Result<Duration, StoreError> {
    let now = database_now(conn).await?;
    Ok(horizon_of(&list(conn).await?).map_or(-Duration::WEEK, |horizon| horizon - now))
}

/// Drops the partitions whose newest row is older than `retention`, and returns their names. Deliveries that are
/// unfinished even then leave the queue; they become `failed`, unless they go with their partition. A partition that is
/// in use, by a backup say, stays until a later call.
///
/// # Errors
///
/// [`StoreError`]; the partitions dropped before the failure are gone, the others stand.
pub async fn drop_expired(
    conn: &mut AsyncPgConnection,
    retention: std::time::Duration,
) -> Result<Vec<String>, StoreError> {
    let now = database_now(conn).await?;
    let mut dropped = Vec::new();
    for (table, week) in list(conn).await? {
        if start_of(week) + Duration::WEEK + retention < now {
            let name = partition_name(&table, week);
            if conn
                .transaction(async |conn| drop_one(conn, &name, week).await)
                .await?
            {
                info!(
                    partition = name,
                    "Dropped partition {name}: retention has passed"
                );
                dropped.push(name);
            } else {
                info!(
                    partition = name,
                    "Partition {name} is in use and will be dropped later"
                );
            }
        }
    }
    Ok(dropped)
}

#[derive(diesel::QueryableByName)]
struct DroppedRow {
    #[diesel(sql_type = Bool)]
    is_gone: bool,
}

/// Ends what the queue still holds from before the end of `week`, then drops the partition; false when it is in use.
async fn drop_one(
    conn: &mut AsyncPgConnection,
    name: &str,
    week: Date,
) -> Result<bool, StoreError> {
    lock(conn).await?;
    let end = first_uuid_at(start_of(week.saturating_add(Duration::WEEK)));
    statement(include_str!("sql/expire_unfinished.sql"))
        .bind::<diesel::sql_types::Uuid, _>(end)
        .execute(conn)
        .await?;
    conn.batch_execute(&format!(
        "DO $$ BEGIN
             SET LOCAL lock_timeout = '{DROP_WAIT}';
             DROP TABLE IF EXISTS {name};
         EXCEPTION WHEN lock_not_available THEN NULL;
         END $$"
    ))
    .await?;
    let dropped: DroppedRow = statement("SELECT to_regclass($1) IS NULL AS is_gone")
        .bind::<Text, _>(name)
        .get_result(conn)
        .await?;
    Ok(dropped.is_gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::{date, datetime};

    #[test]
    fn a_week_begins_on_monday_and_its_name_is_read_back() {
        assert_eq!(
            week_of(datetime!(2026-11-29 23:59:59 UTC)),
            date!(2026 - 11 - 23)
        );
        assert_eq!(
            week_of(datetime!(2026-11-23 00:00 UTC)),
            date!(2026 - 11 - 23)
        );
        let name = partition_name("events", date!(2026 - 11 - 23));
        assert_eq!(name, "events_20261123");
        assert_eq!(week_in_name(&name), Some(date!(2026 - 11 - 23)));
        assert_eq!(week_in_name("events_default"), None);
    }
}
