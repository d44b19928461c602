//! How deep the queue is, and how old: in bounded time, whatever the backlog.

use std::time::Duration;

use diesel::prelude::QueryableByName;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use crate::ids::DeliveryId;
use crate::store::StoreError;
use crate::store::statement::{Bind, statement};

/// Endpoints that are looked at for the oldest delivery, at most: a probe of an index each.
const ENDPOINTS: i32 = 1_000;
/// Ready deliveries that are looked at of each. They lie there in the order in which they were made, of which that in
/// which they became ready differs for retries only.
const OF_EACH: i32 = 4;

/// The queue's size. Each number is counted up to a bound of 100,000, and is that if there are more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, QueryableByName)]
pub struct QueueDepth {
    /// Deliveries that could be claimed now.
    #[diesel(sql_type = BigInt)]
    pub ready: i64,
    /// The same, which somebody waits for.
    #[diesel(sql_type = BigInt)]
    pub express: i64,
    /// Retries that wait for their time, and leases.
    #[diesel(sql_type = BigInt)]
    pub waiting: i64,
    /// Deliveries of disabled endpoints.
    #[diesel(sql_type = BigInt)]
    pub kept_back: i64,
}

/// Counts the queue.
///
/// Indexes: `delivery_queue_ready_idx`, `delivery_queue_express_idx`, `delivery_queue_waiting_idx`.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn depth(conn: &mut AsyncPgConnection) -> Result<QueueDepth, StoreError> {
    Ok(statement(include_str!("../sql/queue_depth.sql"))
        .get_result(conn)
        .await?)
}

/// How long the oldest ready delivery has been ready, by what it waits for; zero where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OldestReady {
    /// For nothing but a dispatcher.
    pub free: Duration,
    /// For its endpoint's limit, perhaps.
    pub limited: Duration,
    /// For its endpoint's circuit, which is not closed.
    pub circuit: Duration,
}

#[derive(QueryableByName)]
struct OldestRow {
    #[diesel(sql_type = Text)]
    held_by: String,
    #[diesel(sql_type = Timestamptz)]
    now: OffsetDateTime,
    /// Of those that have been ready since they were made.
    #[diesel(sql_type = Nullable<Uuid>)]
    oldest_id: Option<uuid::Uuid>,
    /// Of the others.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    oldest_ready_at: Option<OffsetDateTime>,
}

impl OldestRow {
    fn age(&self) -> Duration {
        let made_at = self.oldest_id.map(|id| DeliveryId::from_uuid(id).made_at());
        let ages = [made_at, self.oldest_ready_at].into_iter().flatten();
        let ages = ages.map(|at| Duration::try_from(self.now - at).unwrap_or(Duration::ZERO));
        ages.max().unwrap_or(Duration::ZERO)
    }
}

/// Looks for the oldest ready delivery, among the first few of each endpoint, of the first 1,000 endpoints that have
/// any.
///
/// Index: `delivery_queue_ready_idx`, a probe or two per endpoint.
///
/// # Errors
///
/// [`StoreError`] when PostgreSQL can't be asked.
pub async fn oldest_ready(conn: &mut AsyncPgConnection) -> Result<OldestReady, StoreError> {
    let rows: Vec<OldestRow> = statement(include_str!("../sql/oldest_ready.sql"))
        .bind::<Integer, _>(ENDPOINTS)
        .bind::<Integer, _>(OF_EACH)
        .load(conn)
        .await?;
    let mut oldest = OldestReady::default();
    for row in rows {
        match row.held_by.as_str() {
            "circuit" => oldest.circuit = row.age(),
            "limit" => oldest.limited = row.age(),
            _ => oldest.free = row.age(),
        }
    }
    Ok(oldest)
}
