//! What one claim costs: the dispatchers' own statement, in a transaction that is rolled back.

use std::time::{Duration, Instant};

use anyhow::Result;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use reprise_core::{
    fair_share::{Caps, InFlight},
    ids::DispatcherId,
    store::delivery_queue::{ClaimRequest, Claimant, WalkPosition},
};
use reprise_testkit::claims::claim_fairly;

use crate::figures::Percentiles;

/// Rows per claim: what a dispatcher takes that has many permits free.
const ROWS: i32 = 256;
/// Claims per probe; the first ones make PostgreSQL settle on a plan.
const REPEATS: usize = 15;

/// The median time of a claim of 256 rows, now.
pub async fn claim_time(conn: &mut AsyncPgConnection) -> Result<Duration> {
    let mut times = Vec::with_capacity(REPEATS);
    for _ in 0..REPEATS {
        conn.batch_execute("BEGIN").await?;
        let began = Instant::now();
        claim(conn).await;
        times.push(began.elapsed());
        conn.batch_execute("ROLLBACK").await?;
    }
    Ok(Percentiles::of(times).unwrap_or_default().p50)
}

/// Finding what is ready, and taking of it.
async fn claim(conn: &mut AsyncPgConnection) {
    let request = ClaimRequest {
        claimant: Claimant::new(DispatcherId::new()),
        max_rows: ROWS,
        free: 1_000,
        max_payload_bytes: i64::MAX,
        lease_margin: Duration::from_secs(15),
        caps: Caps {
            per_endpoint: ROWS,
            per_tenant: ROWS,
        },
        in_flight: &InFlight::default(),
    };
    claim_fairly(conn, &request, &WalkPosition::default()).await;
}
