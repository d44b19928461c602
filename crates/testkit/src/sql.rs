//! Looking at a database, and meddling with it, by plain SQL.

use std::time::Duration;

use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use reprise_core::store::StoreError;

use crate::polling::poll_until;

/// Rows that refer to nothing, or to another tenant's.
pub const ORPHANS: &str = "
    SELECT 'event without tenant' AS value FROM events e
    WHERE NOT EXISTS (SELECT FROM tenants t WHERE t.id = e.tenant_id)
    UNION ALL SELECT 'delivery without endpoint, or not of its owner' FROM deliveries d
    WHERE NOT EXISTS (SELECT FROM endpoints e WHERE (e.tenant_id, e.id, e.user_id) = (d.tenant_id, d.endpoint_id, d.user_id))
    UNION ALL SELECT 'delivery without event' FROM deliveries d
    WHERE NOT EXISTS (SELECT FROM events e WHERE (e.tenant_id, e.id) = (d.tenant_id, d.event_id))
    UNION ALL SELECT 'replay without first delivery' FROM deliveries d
    WHERE NOT EXISTS (SELECT FROM deliveries f WHERE (f.tenant_id, f.id) = (d.tenant_id, d.first_delivery_id))
    UNION ALL SELECT 'attempt without delivery' FROM attempts a
    WHERE NOT EXISTS (SELECT FROM deliveries d WHERE (d.tenant_id, d.id) = (a.tenant_id, a.delivery_id))
    UNION ALL SELECT 'queue row that is not as its delivery' FROM delivery_queue q
    WHERE NOT EXISTS (
        SELECT FROM deliveries d
        WHERE (d.tenant_id, d.id, d.endpoint_id, d.event_id, d.attempt_id)
            = (q.tenant_id, q.delivery_id, q.endpoint_id, q.event_id, q.attempt_id)
          AND d.status IN ('pending', 'retrying'))
    UNION ALL SELECT 'unfinished delivery without queue row' FROM deliveries d
    WHERE d.status IN ('pending', 'retrying')
      AND NOT EXISTS (SELECT FROM delivery_queue q WHERE (q.tenant_id, q.delivery_id) = (d.tenant_id, d.id))";

/// A database that is looked at. Each call has a connection of its own, since the server may have been restarted.
#[derive(Debug, Clone)]
pub struct Sql {
    url: String,
}

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

#[derive(QueryableByName)]
struct TextRow {
    #[diesel(sql_type = Text)]
    value: String,
}

impl Sql {
    /// Looks at the database at `url`.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
        }
    }

    /// Runs statements.
    ///
    /// # Panics
    ///
    /// When PostgreSQL refuses, or is away.
    pub async fn execute(&self, statements: &str) {
        let mut conn = self.connect().await.expect("a connection");
        conn.batch_execute(statements)
            .await
            .unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// The number that `expression` is, such as `(SELECT count(*) FROM events)`.
    ///
    /// # Panics
    ///
    /// When PostgreSQL refuses, or is away.
    pub async fn number(&self, expression: &str) -> i64 {
        let found = self.try_number(expression).await;
        found.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// [`number`](Self::number), for those who expect that PostgreSQL may be away.
    ///
    /// # Errors
    ///
    /// What PostgreSQL says.
    pub async fn try_number(&self, expression: &str) -> Result<i64, StoreError> {
        let mut conn = self.connect().await?;
        let row: NumberRow = sql_query(format!("SELECT ({expression})::int8 AS value"))
            .get_result(&mut conn)
            .await?;
        Ok(row.value)
    }

    /// The texts of a query's column `value`.
    ///
    /// # Panics
    ///
    /// When PostgreSQL refuses, or is away.
    pub async fn texts(&self, query: &str) -> Vec<String> {
        let mut conn = self.connect().await.expect("a connection");
        let rows: Vec<TextRow> = sql_query(query)
            .load(&mut conn)
            .await
            .unwrap_or_else(|error| panic!("{query}: {error}"));
        rows.into_iter().map(|row| row.value).collect()
    }

    /// Waits until `expression` is `number`; PostgreSQL may be away meanwhile.
    ///
    /// # Panics
    ///
    /// When `timeout` is over first.
    pub async fn wait_for(&self, expression: &str, number: i64, timeout: Duration) {
        let mut last = None;
        let found = poll_until(timeout, async || {
            last = self.try_number(expression).await.ok();
            (last == Some(number)).then_some(())
        });
        let found = found.await;
        assert!(
            found.is_some(),
            "after {timeout:?} {expression} is {last:?}, not {number}"
        );
    }

    /// Opens a session, to be held for a while.
    ///
    /// # Errors
    ///
    /// What PostgreSQL says.
    pub async fn session(&self) -> Result<Session, StoreError> {
        self.connect().await.map(Session)
    }

    async fn connect(&self) -> Result<AsyncPgConnection, StoreError> {
        reprise_core::store::connect(&self.url).await
    }
}

/// A session of somebody else's.
pub struct Session(AsyncPgConnection);

impl Session {
    /// Runs statements.
    ///
    /// # Errors
    ///
    /// What PostgreSQL says.
    pub async fn execute(&mut self, statements: &str) -> Result<(), StoreError> {
        Ok(self.0.batch_execute(statements).await?)
    }
}
