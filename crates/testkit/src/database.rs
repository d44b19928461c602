//! A migrated database of its own for each test.

mod template;

use std::env;

use anyhow::{Context, Result};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use url::Url;
use uuid::Uuid;

use crate::side_runtime;

/// A database that belongs to one test and is dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    server_url: String,
    url: String,
}

impl TestDatabase {
    /// Creates a migrated database on the server that `DATABASE_URL` names.
    ///
    /// # Panics
    ///
    /// When `DATABASE_URL` is not set, or PostgreSQL refuses.
    pub async fn create() -> Self {
        Self::create_from(Source::MigratedTemplate).await
    }

    /// Creates an empty database, for the tests of the migrations themselves.
    ///
    /// # Panics
    ///
    /// When `DATABASE_URL` is not set, or PostgreSQL refuses.
    pub async fn create_empty() -> Self {
        Self::create_from(Source::Nothing).await
    }

    /// The URL to connect to this database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Opens a connection to this database.
    ///
    /// # Panics
    ///
    /// When PostgreSQL refuses the connection.
    pub async fn connect(&self) -> AsyncPgConnection {
        reprise_core::store::connect(&self.url)
            .await
            .unwrap_or_else(|error| panic!("connecting to test database {}: {error}", self.name))
    }

    async fn create_from(source: Source) -> Self {
        let server_url = server_url();
        let name = format!("reprise_test_{}", Uuid::new_v4().simple());
        let url = database_url(&server_url, &name);
        match source {
            Source::MigratedTemplate => template::copy(&server_url, &name).await,
            Source::Nothing => create_database(&server_url, &name).await,
        }
        .unwrap_or_else(|error| panic!("creating a test database: {error:#}"));
        Self {
            name,
            server_url,
            url,
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let dropped = side_runtime::block_on(async || {
            AsyncPgConnection::establish(&self.server_url)
                .await?
                .batch_execute(&format!(
                    "DROP DATABASE IF EXISTS {} WITH (FORCE)",
                    self.name
                ))
                .await?;
            anyhow::Ok(())
        });
        if let Err(error) = dropped {
            eprintln!("test database {} stays behind: {error:#}", self.name);
        }
    }
}

/// What a new test database contains.
#[derive(Debug, Clone, Copy)]
enum Source {
    MigratedTemplate,
    Nothing,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the testkit has no configuration but this"
)]
fn server_url() -> String {
    env::var("DATABASE_URL").unwrap_or_else(|_| {
        panic!("DATABASE_URL is not set: run the tests with `make test`, or set it to a PostgreSQL server that tests may create databases on")
    })
}

/// `server_url` with the path, that is the database, replaced.
fn database_url(server_url: &str, name: &str) -> String {
    let mut url = Url::parse(server_url).expect("DATABASE_URL is a postgres:// URL");
    url.set_path(name);
    url.into()
}

async fn create_database(server_url: &str, name: &str) -> Result<()> {
    AsyncPgConnection::establish(server_url)
        .await?
        .batch_execute(&format!("CREATE DATABASE {name}"))
        .await?;
    Ok(())
}

/// Brings the database at `url` to the newest schema.
pub(crate) async fn migrate(url: String) -> Result<()> {
    let migrating = move || side_runtime::block_on(|| reprise_core::store::migrate(&url));
    tokio::task::spawn_blocking(migrating)
        .await?
        .context("migrating")
}
