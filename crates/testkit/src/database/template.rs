//! The template that test databases are copied from, made once for each state of `migrations/`.
//!
//! Its maker holds an advisory lock exclusively, those who copy it hold the same lock shared, so
//! that any number of test processes can start at once and none has to try again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use sha2::{Digest, Sha256};

use super::{database_url, migrate};
use crate::repository;

/// The advisory lock around the template; any number that nothing else on a test server uses.
const LOCK: i64 = 0x0072_6570_7269_7365;

/// Creates the database `name` as a copy of the template, which it makes if need be.
pub(super) async fn copy(server_url: &str, name: &str) -> Result<()> {
    let template = current_name()?;
    let mut server = AsyncPgConnection::establish(server_url).await?;
    lock(&mut server, "pg_advisory_lock_shared").await?;
    if !database_exists(&mut server, &template).await? {
        unlock_all(&mut server).await?;
        lock(&mut server, "pg_advisory_lock").await?;
        if !database_exists(&mut server, &template).await? {
            make(&mut server, server_url, &template).await?;
        }
        unlock_all(&mut server).await?;
        lock(&mut server, "pg_advisory_lock_shared").await?;
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

async fn lock(server: &mut AsyncPgConnection, function: &str) -> Result<()> {
    server
        .batch_execute(&format!("SELECT {function}({LOCK})"))
        .await
        .context("locking the template")
}

async fn unlock_all(server: &mut AsyncPgConnection) -> Result<()> {
    server
        .batch_execute("SELECT pg_advisory_unlock_all()")
        .await
        .context("unlocking the template")
}

async fn database_exists(server: &mut AsyncPgConnection, name: &str) -> Result<bool> {
    let found: Count = diesel::sql_query("SELECT count(*) FROM pg_database WHERE datname = $1")
        .bind::<Text, _>(name)
        .get_result(server)
        .await?;
    Ok(found.count > 0)
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
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
    Ok(format!("reprise_template_{digest}"))
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
