//! Repeats with one `Idempotency-Key` while the first is under way: they wait, and nobody else does.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use reprise_testkit::http::Response;
use reprise_testkit::polling::poll_until;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::played_dispatcher::Played;
use crate::rows;
use crate::stage::{Stage, replay_path};

const SOON: Duration = Duration::from_secs(20);
/// Repeats that come at once: more than the API has connections.
const REPEATS: usize = 6;

/// An API with so few connections that repeats could hold them all.
async fn stage() -> Stage {
    Stage::start_with(&[("REPRISE_DATABASE_CONNECTIONS", "2")]).await
}

/// Sends the request many times with one key that another process holds, sees that one of them alone waits inside
/// PostgreSQL and that others are served meanwhile, and lets them go on. Returns what was answered.
async fn repeat_while_the_key_is_taken(
    stage: &Stage,
    path: &str,
    body: Option<Value>,
) -> Vec<Response> {
    let mut first = stage.database.connect().await;
    first
        .batch_execute(&format!(
            "BEGIN; INSERT INTO idempotency_keys (tenant_id, key, method, path, fingerprint)
             VALUES ('{}', 'click', 'POST', '{path}', sha256(''))",
            stage.tenant.tenant_id
        ))
        .await
        .expect("the key is taken elsewhere");
    let mut repeats = JoinSet::new();
    for _ in 0..REPEATS {
        let client = stage.client.header("Idempotency-Key", "click");
        let (path, body) = (path.to_owned(), body.clone());
        repeats.spawn(async move {
            match body {
                Some(body) => client.post(&path, &body).await,
                None => client.post_empty(&path).await,
            }
        });
    }
    let mut looking = stage.database.connect().await;
    let waiting =
        "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    poll_until(SOON, async || {
        (rows::count(&mut looking, waiting).await > 0).then_some(())
    })
    .await
    .expect("a repeat waits");
    for _ in 0..20 {
        let _ = stage.client.get("/hooks").await.expect_status(200);
    }
    assert_eq!(rows::count(&mut looking, waiting).await, 1, "{path}");
    first.batch_execute("ROLLBACK").await.expect("rolled back");
    repeats.join_all().await
}

/// Asserts that all were answered alike.
#[track_caller]
fn assert_alike(answers: Vec<Response>, status: u16) {
    let answers = answers.into_iter();
    let bodies: Vec<_> = answers
        .map(|answer| answer.expect_status(status).body)
        .collect();
    assert_eq!(bodies.len(), REPEATS);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
}

#[tokio::test]
async fn repeats_that_wait_for_the_first_leave_the_connections_to_others() {
    let stage = stage().await;
    stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage
        .attempted(&mut dispatcher, Played::Answered(200))
        .await;
    let answers = repeat_while_the_key_is_taken(&stage, &replay_path(&id), None).await;
    assert_alike(answers, 200);
    let mut looking = stage.database.connect().await;
    let deliveries = rows::count(&mut looking, "deliveries").await;
    assert_eq!(deliveries, 2, "one replay");
}

#[tokio::test]
async fn publishing_again_waits_without_a_connection_too() {
    let stage = stage().await;
    let event = json!({"event_type": "invoice.paid", "payload": {"n": 1}});
    let answers =
        repeat_while_the_key_is_taken(&stage, "/v1/webhooks/events", Some(event.clone())).await;
    assert_alike(answers, 202);
    let batch = json!([event, event]);
    let answers =
        repeat_while_the_key_is_taken(&stage, "/v1/webhooks/events/batch", Some(batch)).await;
    assert_alike(answers, 202);
    let mut looking = stage.database.connect().await;
    assert_eq!(rows::count(&mut looking, "events").await, 3, "each once");
}
