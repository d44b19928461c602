//! The plans behind the pages, as PostgreSQL's `auto_explain` writes them into the server's log.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{Api, Tenant};

/// For sessions that begin from now on.
const EXPLAINED: [&str; 5] = [
    "session_preload_libraries = 'auto_explain'",
    "auto_explain.log_min_duration = 0",
    "auto_explain.log_analyze = on",
    "auto_explain.log_timing = off",
    "auto_explain.log_buffers = on",
];

#[derive(diesel::QueryableByName)]
struct LogRow {
    #[diesel(sql_type = Text)]
    log: String,
}

/// Asks for each page once more, on new connections, and writes the plans into a file. The server must be one of
/// `scripts/postgres`, whose log lies beside its data, and the user one that may read it.
pub async fn write(
    database: &TestDatabase,
    tenant: &Tenant,
    paths: &[String],
    file: &Path,
) -> Result<()> {
    let mut conn = database.connect().await;
    let name = database.url().rsplit('/').next().context("a database")?;
    for setting in EXPLAINED {
        let statement = format!("ALTER DATABASE {name} SET {setting}");
        conn.batch_execute(&statement).await?;
    }
    let api = Api::start_with(database.url(), &[("REPRISE_DATABASE_CONNECTIONS", "2")]).await;
    let client = api.client(tenant);
    let mut plans = String::new();
    for path in paths {
        // The credential is looked up with the first.
        client.get(path).await;
        let before = log(&mut conn).await?.len();
        let answer = client.get(path).await;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        let log = log(&mut conn).await?;
        let plan = last_plan(&log[before..]).with_context(|| format!("no plan of {path}"))?;
        writeln!(plans, "{path}\n{plan}")?;
    }
    fs::write(file, plans).with_context(|| format!("writing {}", file.display()))
}

async fn log(conn: &mut AsyncPgConnection) -> Result<String> {
    let read = "SELECT pg_read_file(current_setting('data_directory') || '/../log') AS log";
    let row: LogRow = diesel::sql_query(read).get_result(conn).await?;
    Ok(row.log)
}

/// The last plan in a part of the log, without the partitions that were not read.
fn last_plan(log: &str) -> Option<String> {
    let (_, entry) = log.rsplit_once("plan:\n")?;
    let lines = entry.lines().take_while(|line| line.starts_with('\t'));
    let mut plan = String::new();
    let mut unread_below = None;
    for line in lines.skip_while(|line| !line.contains("(cost=")) {
        let line = line.trim_start_matches('\t');
        let depth = line.len() - line.trim_start().len();
        if unread_below.is_some_and(|below| depth > below) {
            continue;
        }
        unread_below = line.contains("(never executed)").then_some(depth);
        if unread_below.is_none() {
            plan.push_str(line);
            plan.push('\n');
        }
    }
    Some(plan)
}
