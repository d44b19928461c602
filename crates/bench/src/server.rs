//! The PostgreSQL server under test: its settings, and a first connection.

use std::env;

use anyhow::{Context, Result};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};

/// What anybody would set on a server that is to work: the defaults are for machines of twenty years ago. Nothing that
/// touches durability.
const SETTINGS: [&str; 2] = [
    "ALTER SYSTEM SET shared_buffers = '1GB'",
    "ALTER SYSTEM SET max_wal_size = '8GB'",
];

/// Connects to the server's own database.
pub async fn connect() -> Result<AsyncPgConnection> {
    #[expect(
        clippy::disallowed_methods,
        reason = "scripts/postgres names the server so, and the testkit reads it so"
    )]
    let url = env::var("DATABASE_URL").context("DATABASE_URL is not set: run scripts/bench")?;
    AsyncPgConnection::establish(&url)
        .await
        .context("connecting to PostgreSQL")
}

/// Sets the settings; they hold from the next start on.
pub async fn configure() -> Result<()> {
    let mut conn = connect().await?;
    for statement in SETTINGS {
        conn.batch_execute(statement).await?;
    }
    Ok(())
}
