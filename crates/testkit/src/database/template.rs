//! The template that test databases are copied from, made once for each state of `migrations/`.
//!
//! A migrated database also has partitions for the coming days, so a template is good for its day
//! only; those of earlier days are dropped when a new one is made.
//!
//! Its maker holds an advisory lock exclusively, those who copy it hold the same lock shared, so
//! that any number of test processes can start at once and none has to try again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use diesel::{QueryableByName, sql_types::Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::{database_url, migrate};
use crate::repository;

/// The advisory lock around the template; any number that nothing else on the server uses.
const LOCK: i64 = 0x0072_6570_7465_7374;

const PREFIX: &str = "reprise_template_";

/// Creates the database `name` as a copy of the template, which it makes if need be.
pub(super) async fn copy(server_url: &str, name: &str) -> Result<()> {
    let template = current_name()?;
    let mut server = AsyncPgConnection::establish(server_url).await?;
    call(&mut server, "pg_advisory_lock_shared").await?;
    if !database_exists(&mut server, &template).await? {
        call(&mut server, "pg_advisory_unlock_shared").await?;
        call(&mut server, "pg_advisory_lock").await?;
        if !database_exists(&mut server, &template).await? {
            drop_outdated(&mut server).await?;
            make(&mut server, server_url, &template).await?;
        }
        // Shared before exclusive is given back: nobody gets between the making and the copying.
        call(&mut server, "pg_advisory_lock_shared").await?;
        call(&mut server, "pg_advisory_unlock").await?;
    }
    server
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
        .await
        .context("copying the template")
}

/// Makes the template under another name first, so that one whose maker was killed is never used.
async fn make(server: &mut AsyncPgConnection, server_url: &str, template: &str) -> Result<()> {
    let unfinished = format!("{template}_unfinished");
    server
        .batch_execute(&format!(
            "DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)"
        ))
        .await?;
    server
        .batch_execute(&format!("CREATE DATABASE {unfinished}"))
        .await?;
    migrate(database_url(server_url, &unfinished)).await?;
    // Without connections not even autovacuum can be in the way of a copy.
    server
        .batch_execute(&format!(
            "ALTER DATABASE {unfinished} WITH ALLOW_CONNECTIONS false"
        ))
        .await?;
    server
        .batch_execute(&format!("ALTER DATABASE {unfinished} RENAME TO {template}"))
        .await
        .context("naming the template")
}

/// Drops the templates of earlier days; nobody copies them while the lock is held exclusively.
async fn drop_outdated(server: &mut AsyncPgConnection) -> Result<()> {
    let outdated: Vec<Database> = diesel::sql_query(
        "SELECT datname::text AS name FROM pg_database \
         WHERE starts_with(datname, $1) AND datname < $2",
    )
    .bind::<Text, _>(PREFIX)
    .bind::<Text, _>(name_of_today())
    .load(server)
    .await?;
    for Database { name } in outdated {
        server
            .batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
            .await?;
    }
    Ok(())
}

/// Calls one of PostgreSQL's functions for advisory locks. The session's end gives all of them back.
async fn call(server: &mut AsyncPgConnection, function: &str) -> Result<()> {
    server
        .batch_execute(&format!("SELECT {function}({LOCK})"))
        .await
        .with_context(|| format!("{function} for the template"))
}

async fn database_exists(server: &mut AsyncPgConnection, name: &str) -> Result<bool> {
    let found: Vec<Database> =
        diesel::sql_query("SELECT datname::text AS name FROM pg_database WHERE datname = $1")
            .bind::<Text, _>(name)
            .load(server)
            .await?;
    Ok(!found.is_empty())
}

#[derive(QueryableByName)]
struct Database {
    #[diesel(sql_type = Text)]
    name: String,
}

/// The beginning of the names of today's templates; those of earlier days sort before it.
fn name_of_today() -> String {
    let today = OffsetDateTime::now_utc()
        .date()
        .to_string()
        .replace('-', "");
    format!("{PREFIX}{today}")
}

fn current_name() -> Result<String> {
    let mut hash = Sha256::new();
    for file in files_below(&repository::root().join("migrations"))? {
        hash.update(file.to_string_lossy().as_bytes());
        hash.update(fs::read(&file)?);
    }
    let digest: String = hash.finalize()[..6]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(format!("{}_{digest}", name_of_today()))
}

/// All files in `folder` and its folders, sorted by path.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("reading {folder:?}"))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
