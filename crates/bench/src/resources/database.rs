//! What PostgreSQL has written, and which process it is.

use anyhow::{Context, Result};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Integer},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::process::{Pid, parent};

/// The transaction counter, and not `pg_stat_database.xact_commit`: that one comes up to ten seconds late, and also
/// counts transactions that only read, which cost no disk.
const COUNTERS: &str = "
    SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8 AS wal_bytes,
           pg_snapshot_xmax(pg_current_snapshot())::text::int8 AS commits";

/// PostgreSQL's counters, since it was made.
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    /// Bytes of write-ahead log.
    pub wal_bytes: u64,
    /// Transactions that wrote something.
    pub commits: u64,
}

#[derive(QueryableByName)]
struct CountersRow {
    #[diesel(sql_type = BigInt)]
    wal_bytes: i64,
    #[diesel(sql_type = BigInt)]
    commits: i64,
}

#[derive(QueryableByName)]
struct BackendRow {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

impl Counters {
    /// Reads them.
    pub async fn read(conn: &mut AsyncPgConnection) -> Result<Self> {
        let row: CountersRow = sql_query(COUNTERS)
            .get_result(conn)
            .await
            .context("PostgreSQL's counters")?;
        Ok(Self {
            wal_bytes: u64::try_from(row.wal_bytes)?,
            commits: u64::try_from(row.commits)?,
        })
    }
}

/// The server's first process, on this machine: the parent of the one that serves the connection.
pub async fn find_postmaster(conn: &mut AsyncPgConnection) -> Result<Pid> {
    let row: BackendRow = sql_query("SELECT pg_backend_pid() AS pid")
        .get_result(conn)
        .await?;
    parent(Pid::try_from(row.pid)?).context("the bench needs a PostgreSQL on its own machine")
}
