//! Publishing alone: no dispatcher runs, so that what is measured is the API and PostgreSQL.

use anyhow::Result;

use crate::{
    figures::{Percentiles, rate},
    findings::Findings,
    load::{Load, Pace, Until},
    report::{Cost, Row},
    settings::Settings,
    sink::{Behaviour, Verdict},
    stage::{EVENT_TYPE, Receiver, Stage, unfinished},
};

/// How many APIs at a time, and over how many times the usual connections in all; one over these is `publish`.
const API_REPLICAS: [(usize, usize); 5] = [(2, 1), (4, 1), (1, 4), (2, 4), (4, 4)];
/// Events of a batch.
const BATCH: usize = 100;

/// One event per request, in a closed loop.
pub async fn run(settings: &Settings) -> Result<Row> {
    let load = |stage: &Stage, pace| stage.load(EVENT_TYPE, pace);
    measure(settings, "publish", 1, load).await
}

/// Several APIs on one PostgreSQL, which share the connections that one has otherwise, and one and several with more.
pub async fn run_replicas(settings: &Settings) -> Result<Findings> {
    let mut findings = Findings::default();
    for (apis, factor) in API_REPLICAS {
        let connections = settings.connections * factor;
        let load = |stage: &Stage, pace| stage.load(EVENT_TYPE, pace).with_connections(connections);
        let name = match apis {
            1 => format!("publish, {connections} connections"),
            _ => format!("publish, {apis} APIs, {connections} connections"),
        };
        let row = measure(settings, &name, apis, load).await?;
        findings.rows.push(row);
    }
    Ok(findings)
}

/// A hundred events per request.
pub async fn run_batches(settings: &Settings) -> Result<Row> {
    let load = |stage: &Stage, pace| stage.batches(BATCH, pace);
    let row = measure(settings, "batch", 1, load).await?;
    Ok(Row {
        notes: format!("{BATCH} events per request; latency is a request's"),
        ..row
    })
}

async fn measure(
    settings: &Settings,
    name: &str,
    apis: usize,
    load: impl Fn(&Stage, Pace) -> Load,
) -> Result<Row> {
    let mut stage = Stage::start(settings, &[Receiver::that(Behaviour::Answer)]).await?;
    stage.add_apis(apis - 1).await;
    let bare_rate = stage.bare_rate().await?;
    stage.warm_up().await?;
    let before = unfinished(stage.conn()).await?;
    let meter = stage.meter().await?;
    let pace = Pace::Closed(Until::Elapsed(settings.duration()));
    let sent = load(&stage, pace).run().await?;
    let usage = stage.used_since(meter).await?;
    let count = sent.sequences.len();
    let queued = usize::try_from(unfinished(stage.conn()).await? - before)?;
    Ok(Row {
        bare_rate: Some(bare_rate),
        rate: Some(rate(count, sent.duration())),
        latency: Percentiles::of(sent.latencies),
        cost: Some(Cost { usage, count }),
        verdict: Some(Verdict {
            lost: count.saturating_sub(queued),
            doubled: queued.saturating_sub(count),
        }),
        ..Row::new(name)
    })
}
