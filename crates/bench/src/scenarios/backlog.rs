//! A long backlog: does a claim, and a delivery, cost with ten million ready deliveries what it costs with ten
//! thousand?

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use diesel_async::SimpleAsyncConnection;

use super::delivery::Delivered;
use crate::{
    claim_probe::claim_time,
    figures::{milliseconds, rate},
    report::{Cost, Row},
    settings::Settings,
    sink::{Behaviour, Verdict},
    stage::{EVENT_TYPE, Receiver, Stage, delivered_or_queued},
};

const PREPARE: &str = include_str!("backlog/prepare.sql");
const ROWS: &str = include_str!("backlog/rows.sql");
/// What autovacuum and the checkpointer would do later, in the middle of the measurement. One statement each: a vacuum
/// stands in no transaction.
const SETTLE: [&str; 3] = [
    "RESET synchronous_commit",
    "VACUUM ANALYZE events, deliveries, delivery_queue",
    "CHECKPOINT",
];
/// Endpoints that the backlog is for; each event is for all of them.
const ENDPOINTS: u32 = 10;
/// Events made by one statement.
const CHUNK: u32 = 25_000;
/// The short backlog.
const FEW: u32 = 10_000;

/// A short one and a long one.
pub async fn run(settings: &Settings) -> Result<Vec<Row>> {
    Ok(vec![
        measure(settings, FEW).await?,
        measure(settings, settings.backlog_rows()).await?,
    ])
}

async fn measure(settings: &Settings, rows: u32) -> Result<Row> {
    let receivers = (0..ENDPOINTS).map(|_| Receiver::that(Behaviour::Answer));
    let receivers: Vec<Receiver> = receivers.collect();
    let mut stage = Stage::start(settings, &receivers).await?;
    stage.add_dispatchers(settings.dispatchers, &[]).await;
    let bare_rate = stage.bare_rate().await?;
    stage.freeze_dispatchers();
    let sequences = make_rows(&mut stage, rows / ENDPOINTS).await?;
    let claim = claim_time(stage.conn()).await?;
    let meter = stage.meter().await?;
    let began_ns = stage.clock.now_ns();
    stage.thaw_dispatchers();
    stage
        .wait_for_all_or(&sequences, settings.duration())
        .await?;
    stage.freeze_dispatchers();
    let usage = stage.used_since(meter).await?;
    let delivered = Delivered::to_all(&stage, &sequences);
    let count = delivered.latencies.len();
    expect_all_kept(&mut stage, rows).await?;
    Ok(Row {
        bare_rate: Some(bare_rate),
        rate: Some(rate(count, delivered.since(began_ns))),
        cost: Some(Cost { usage, count }),
        verdict: Some(Verdict {
            lost: 0,
            ..delivered.verdict
        }),
        notes: format!(
            "a claim of 256 rows takes {:.1} ms; {count} sent",
            milliseconds(claim)
        ),
        ..Row::new(format!("backlog: {rows}"))
    })
}

/// Fills the tables; returns the events' numbers.
async fn make_rows(stage: &mut Stage, events: u32) -> Result<Vec<u64>> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let statement = ROWS
        .replace(":tenant", &stage.tenant.tenant_id)
        .replace(":base", &(now_ms - u128::from(events / 100)).to_string());
    let conn = stage.conn();
    conn.batch_execute(PREPARE).await?;
    let mut from = 0;
    while from < events {
        let to = events.min(from + CHUNK);
        let chunk = statement
            .replace(":from", &from.to_string())
            .replace(":to", &to.to_string());
        conn.batch_execute(&chunk).await?;
        from = to;
    }
    for statement in SETTLE {
        conn.batch_execute(statement).await?;
    }
    Ok((0..u64::from(events)).collect())
}

/// What was not sent yet is still waiting.
async fn expect_all_kept(stage: &mut Stage, rows: u32) -> Result<()> {
    let kept = delivered_or_queued(stage.conn(), EVENT_TYPE).await?;
    ensure!(
        kept == i64::from(rows),
        "of {rows} deliveries {kept} are delivered or waiting"
    );
    Ok(())
}
