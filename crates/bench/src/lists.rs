//! How long pages of lists take over a long history, whatever they are filtered by.

#![expect(
    clippy::print_stdout,
    reason = "to print its figures is what a benchmark is for"
)]

mod plans;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{Api, Tenant, create_endpoint};
use reprise_testkit::http::{Client, Response};
use serde_json::json;

/// What the contract's users expect of a page.
const GOAL: Duration = Duration::from_millis(5);
/// How often each page is asked for.
const REPEATS: usize = 200;
/// The late page.
const LATE_PAGE: usize = 1_000;
/// Rows made by one statement.
const CHUNK: u32 = 250_000;
const PREPARE: &str = include_str!("lists/prepare.sql");
const HISTORY: &str = include_str!("lists/history.sql");

/// Makes the history, measures, and prints a table; writes the plans into a file where one is given.
pub async fn run(rows: u32, plans: Option<&Path>) -> Result<()> {
    let database = TestDatabase::create().await;
    let api = Api::start(database.url()).await;
    let tenant = Tenant::create(database.url(), "bench").await;
    let client = api.client(&tenant);
    let endpoints = make_history(&database, &api, &tenant, rows).await?;
    let paths = lists(&client, &endpoints).await?;

    let bare = measure(&client, "/readyz").await?;
    println!(
        "\n{:<52} {:>8} {:>8}  {:>5} {:>8} {:>8}",
        "page", "p50 ms", "p99 ms", "late", "p50 ms", "p99 ms"
    );
    println!(
        "{:<52} {:>8} {:>8}",
        "/readyz: a bare round trip to PostgreSQL",
        ms(bare.0),
        ms(bare.1)
    );
    let mut slow = Vec::new();
    for path in &paths {
        let first = measure(&client, path).await?;
        let (number, late_path) = late_page(&client, path).await?;
        let late = measure(&client, &late_path).await?;
        let name = endpoints
            .iter()
            .fold(path.replace("/v1/webhooks", ""), |name, id| {
                name.replace(id, "…")
            });
        println!(
            "{name:<52} {:>8} {:>8}  {number:>5} {:>8} {:>8}",
            ms(first.0),
            ms(first.1),
            ms(late.0),
            ms(late.1)
        );
        if first.0.max(late.0) > GOAL {
            slow.push(name);
        }
    }
    if let Some(file) = plans {
        plans::write(&database, &tenant, &paths, file).await?;
    }
    println!(
        "\n{} of {} lists take more than {} ms at the median: {slow:?}",
        slow.len(),
        paths.len(),
        ms(GOAL)
    );
    Ok(())
}

/// The lists to measure, each ready for further parameters.
async fn lists(client: &Client, endpoints: &[String]) -> Result<Vec<String>> {
    let newest = client.get("/v1/webhooks/deliveries?limit=250").await.json();
    let items = newest["items"].as_array().context("deliveries")?;
    let first = items.first().context("a delivery")?;
    let event = first["event_id"].as_str().context("an event")?;
    let replay = items
        .iter()
        .find_map(|one| one["replay_of_delivery_id"].as_str());
    let (one, another) = (&endpoints[0], &endpoints[1]);
    let mut paths: Vec<String> = [
        "",
        &format!("endpoint_id={one}"),
        &format!("endpoint_id={one}&status=failed"),
        &format!("endpoint_id={another}&event_type=type.7&http_status=200"),
        "status=delivered",
        "status=failed",
        "status=skipped",
        "status=pending",
        "status=delivering",
        "event_type=type.7",
        "event_type=type.rare",
        "event_type=type.none",
        "event_group=group.77777",
        "http_status=500",
        "http_status=418",
        "created_before=2000-01-01",
    ]
    .map(|query| format!("/v1/webhooks/deliveries?{query}"))
    .into();
    paths.extend(replay.map(|id| format!("/v1/webhooks/deliveries?replay_of={id}")));
    paths.push(format!("/v1/webhooks/events/{event}/deliveries?"));
    for query in ["", "event_type=type.7", "event_group=group.77777"] {
        paths.push(format!("/v1/webhooks/events?{query}"));
    }
    paths.push("/v1/webhooks/endpoints?".to_owned());
    paths.push(format!("/hooks/{one}/requests?"));
    Ok(paths)
}

fn ms(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1_000.0)
}

/// The median and the 99th percentile of a page.
async fn measure(client: &Client, path: &str) -> Result<(Duration, Duration)> {
    let mut times = Vec::with_capacity(REPEATS);
    for _ in 0..REPEATS {
        let began = Instant::now();
        let answer = client.get(path).await;
        times.push(began.elapsed());
        ensure!(answer.status == 200, "{path}: {}", answer.text());
    }
    times.sort_unstable();
    Ok((times[REPEATS / 2], times[REPEATS * 99 / 100]))
}

/// The path of the thousandth page, or of the last one there is, with its number.
async fn late_page(client: &Client, path: &str) -> Result<(usize, String)> {
    let mut page = path.to_owned();
    for number in 1..LATE_PAGE {
        let Some(cursor) = next_cursor(&client.get(&page).await) else {
            return Ok((number, page));
        };
        page = format!("{path}&cursor={cursor}");
    }
    Ok((LATE_PAGE, page))
}

fn next_cursor(answer: &Response) -> Option<String> {
    if let Some(link) = answer.header("link") {
        let (_, rest) = link.split_once("cursor=")?;
        return Some(rest.split_once('>')?.0.to_owned());
    }
    Some(answer.json()["next_cursor"].as_str()?.to_owned())
}

/// Fills the tables; returns the endpoints of the measured tenant.
async fn make_history(
    database: &TestDatabase,
    api: &Api,
    tenant: &Tenant,
    rows: u32,
) -> Result<Vec<String>> {
    let url = "http://127.0.0.1:18080/";
    let mut endpoints = Vec::new();
    for _ in 0..20 {
        let made = create_endpoint(&api.client(tenant), url, json!({})).await;
        endpoints.push(made["id"].as_str().context("an id")?.to_owned());
    }
    let other = Tenant::create(database.url(), "other").await;
    let other_endpoint = create_endpoint(&api.client(&other), url, json!({})).await;
    let mut conn = database.connect().await;
    let name = database
        .url()
        .rsplit('/')
        .next()
        .context("a database name")?;
    conn.batch_execute(&PREPARE.replace("CURRENT_DATABASE_NAME", name))
        .await?;
    let quoted: Vec<String> = endpoints.iter().map(|id| format!("'{id}'")).collect();
    let statement = HISTORY
        .replace(":endpoints", &quoted.join(","))
        .replace(":tenant", &tenant.tenant_id)
        .replace(":user", &tenant.user_id.to_string())
        .replace(
            ":other_endpoint",
            other_endpoint["id"].as_str().context("an id")?,
        )
        .replace(":other_user", &other.user_id.to_string())
        .replace(":other", &other.tenant_id)
        .replace(":all", &rows.to_string());
    let began = Instant::now();
    fill(&mut conn, &statement, rows).await?;
    conn.batch_execute("VACUUM ANALYZE events, deliveries")
        .await?;
    println!(
        "{rows} deliveries and {} events made in {} s",
        rows / 5,
        began.elapsed().as_secs()
    );
    Ok(endpoints)
}

async fn fill(conn: &mut AsyncPgConnection, statement: &str, rows: u32) -> Result<()> {
    let mut from = 0;
    while from < rows {
        let to = rows.min(from + CHUNK);
        let chunk = statement
            .replace(":from", &from.to_string())
            .replace(":to", &to.to_string());
        conn.batch_execute(&chunk)
            .await
            .with_context(|| format!("deliveries {from} to {to}"))?;
        from = to;
    }
    Ok(())
}
