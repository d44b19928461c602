//! The queue's size over time.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    claim_probe::claim_time,
    figures::{float, milliseconds},
};

const SIZE: &str = "
    SELECT pg_table_size('delivery_queue') AS table_bytes,
           pg_indexes_size('delivery_queue') AS index_bytes,
           (SELECT count(*) FROM delivery_queue) AS live_rows,
           (SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'delivery_queue') AS dead_rows,
           (SELECT autovacuum_count FROM pg_stat_user_tables WHERE relname = 'delivery_queue') AS vacuums";

/// The queue at one time.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    at: Instant,
    size: Size,
    claim: Duration,
}

#[derive(Clone, Debug, QueryableByName)]
struct Size {
    #[diesel(sql_type = BigInt)]
    table_bytes: i64,
    #[diesel(sql_type = BigInt)]
    index_bytes: i64,
    #[diesel(sql_type = BigInt)]
    live_rows: i64,
    #[diesel(sql_type = BigInt)]
    dead_rows: i64,
    #[diesel(sql_type = BigInt)]
    vacuums: i64,
}

impl Sample {
    /// Looks at the queue, and claims once for the time that takes.
    pub(super) async fn take(conn: &mut AsyncPgConnection) -> Result<Self> {
        let claim = claim_time(conn).await?;
        let size = sql_query(SIZE)
            .get_result(conn)
            .await
            .context("the queue's size")?;
        let at = Instant::now();
        Ok(Self { at, size, claim })
    }
}

/// The samples of a run, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Growth(Vec<Sample>);

impl Growth {
    pub(super) fn add(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    /// From the first sample to the last, in a few words.
    pub(super) fn summary(&self) -> String {
        let [first, .., last] = self.0.as_slice() else {
            return String::new();
        };
        let size = |sample: &Sample| megabytes(sample.size.table_bytes + sample.size.index_bytes);
        format!(
            "queue {} to {} MB, claim {:.1} to {:.1} ms",
            size(first),
            size(last),
            milliseconds(first.claim),
            milliseconds(last.claim)
        )
    }

    /// All samples.
    pub(super) fn table(&self) -> String {
        let mut table = "Churn: the queue over time.\n\n\
             | s | table MB | indexes MB | live rows | dead rows | vacuums | claim ms |\n\
             |--:|--:|--:|--:|--:|--:|--:|\n"
            .to_owned();
        let began = self.0.as_slice().first().map(|sample| sample.at);
        for Sample { at, size, claim } in &self.0 {
            let elapsed = began.map_or(Duration::ZERO, |began| at.duration_since(began));
            let _ = writeln!(
                table,
                "| {} | {} | {} | {} | {} | {} | {:.1} |",
                elapsed.as_secs(),
                megabytes(size.table_bytes),
                megabytes(size.index_bytes),
                size.live_rows,
                size.dead_rows,
                size.vacuums,
                milliseconds(*claim)
            );
        }
        table
    }
}

fn megabytes(bytes: i64) -> String {
    format!("{:.1}", float(bytes) / 1e6)
}
