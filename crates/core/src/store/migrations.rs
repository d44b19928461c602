//! Bringing a database to this version's schema.

use diesel_async::{AsyncMigrationHarness, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use thiserror::Error;
use tracing::info;

use super::connection::connect;
use super::{StoreError, partitions};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// Names the lock under which one process at a time migrates. Any number would do; it must never change.
const LOCK: i64 = 0x0072_6570_7269_7365;

/// The schema could not be brought up to date.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// PostgreSQL is away, or a statement around the migrations failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A migration failed; those before it stand.
    #[error("migration failed: {0}")]
    Migration(String),
}

/// Applies what is pending and makes the first partitions. Safe to call from many processes at once and again and
/// again: they take turns, and the later ones find nothing to do. Needs tokio's multi-threaded runtime.
///
/// # Errors
///
/// [`MigrateError`]; what was applied before the failure stands, and the call can be repeated.
pub async fn migrate(database_url: &str) -> Result<(), MigrateError> {
    let mut connection = connect(database_url).await?;
    diesel::sql_query(format!("SELECT pg_advisory_lock({LOCK})"))
        .execute(&mut connection)
        .await
        .map_err(StoreError::from)?;
    let mut harness = AsyncMigrationHarness::new(connection);
    let applied = harness
        .run_pending_migrations(MIGRATIONS)
        .map_err(|error| MigrateError::Migration(error.to_string()))?;
    for version in &applied {
        info!(%version, "Applied migration {version}");
    }
    let mut connection = harness.into_inner();
    partitions::keep_ahead(&mut connection).await?;
    // Closing the connection gives the lock back.
    Ok(())
}
