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
/// How many times the usual connections, each of a tenant of its own.
const TENANTS_FACTOR: usize = 4;
/// Events of a batch.
const BATCH: usize = 100;

/// One event per request, in a closed loop.
pub async fn run(settings: &Settings) -> Result<Row> {
    let load = |stage: &Stage, pace| stage.load(EVENT_TYPE, pace);
    measure(settings, "publish", Callers::default(), load).await
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
        let callers = Callers {
            apis,
            ..Callers::default()
        };
        findings
            .rows
            .push(measure(settings, &name, callers, load).await?);
    }
    Ok(findings)
}

/// One event per request, as many tenants as there are connections: how it is where many tenants share commits.
pub async fn run_tenants(settings: &Settings) -> Result<Row> {
    let tenants = settings.connections * TENANTS_FACTOR;
    let load = |stage: &Stage, pace| stage.load(EVENT_TYPE, pace).with_connections(tenants);
    let callers = Callers {
        tenants,
        ..Callers::default()
    };
    let name = format!("publish, {tenants} tenants");
    measure(settings, &name, callers, load).await
}

/// A hundred events per request.
pub async fn run_batches(settings: &Settings) -> Result<Row> {
    let load = |stage: &Stage, pace| stage.batches(BATCH, pace);
    let row = measure(settings, "batch", Callers::default(), load).await?;
    Ok(Row {
        notes: format!("{BATCH} events per request; latency is a request's"),
        ..row
    })
}

/// Who publishes, and where.
struct Callers {
    apis: usize,
    tenants: usize,
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            apis: 1,
            tenants: 1,
        }
    }
}

async fn measure(
    settings: &Settings,
    name: &str,
    callers: Callers,
    load: impl Fn(&Stage, Pace) -> Load,
) -> Result<Row> {
    let mut stage = Stage::start(settings, &[Receiver::that(Behaviour::Answer)]).await?;
    stage.add_apis(callers.apis - 1).await;
    stage.add_tenants(callers.tenants - 1).await;
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
