//! `Prefer: wait`: none at all, and not much longer than was asked for.

use diesel_async::SimpleAsyncConnection;
use reprise_testkit::http::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

use crate::played_dispatcher::Played;
use crate::stage::{Stage, code, redeliver_path, replay_path};

/// Calls of a tenant that may wait at a time.
const PLACES: usize = 64;

#[tokio::test]
async fn who_does_not_wait_needs_no_place_among_those_who_do() {
    let stage = Stage::start().await;
    let hook_id = stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage
        .attempted(&mut dispatcher, Played::Answered(500))
        .await;
    let (redeliver, replay) = (redeliver_path(&hook_id, &id), replay_path(&id));
    let mut calls = JoinSet::new();
    for _ in 0..PLACES {
        let (client, path) = (stage.client.clone(), redeliver.clone());
        calls.spawn(async move { client.post_empty(&path).await });
    }
    let waited_for = dispatcher.claim_all_express(PLACES).await;
    let refused = stage.client.post_empty(&redeliver).await;
    assert_eq!(code(refused, 429), "too_many_waiting");

    let at_once = stage.client.header("Prefer", "wait=0");
    for path in [&redeliver, &replay] {
        let answer = at_once.post_empty(path).await.expect_status(200);
        assert_eq!(
            answer.header("preference-applied"),
            Some("wait=0"),
            "{path}"
        );
    }
    let redelivered = at_once.post_empty(&redeliver).await.json();
    assert_eq!(redelivered["response_status"], Value::Null);
    assert_eq!(redelivered["response_duration_ms"], Value::Null);
    let replayed = at_once.post_empty(&replay).await.json();
    assert_eq!(replayed["status"], "pending");
    let verify = format!("/v1/webhooks/endpoints/{hook_id}/verify");
    let refused = stage.client.post_empty(&verify).await;
    assert_eq!(code(refused, 429), "too_many_waiting");
    let verified = at_once.post_empty(&verify).await.expect_status(200);
    assert_eq!(verified.json()["status"], "failed");

    for claim in waited_for {
        dispatcher.finish(&claim, Played::Answered(200)).await;
    }
    for answer in calls.join_all().await {
        let _ = answer.expect_status(200);
    }
}

async fn time_of(client: &Client, path: &str) -> Duration {
    let begun = Instant::now();
    let _ = client.post_empty(path).await.expect_status(200);
    begun.elapsed()
}

#[tokio::test]
async fn answer_comes_in_time_although_postgresql_does_not_answer() {
    let stage = Stage::start().await;
    let hook_id = stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage
        .attempted(&mut dispatcher, Played::Answered(500))
        .await;
    let mut holder = stage.database.connect().await;
    holder
        .batch_execute("BEGIN; LOCK TABLE attempts")
        .await
        .expect("locked");
    let waiting = stage.client.header("Prefer", "wait=1");
    let (redeliver, replay) = (redeliver_path(&hook_id, &id), replay_path(&id));
    let (redelivered, replayed) =
        tokio::join!(time_of(&waiting, &redeliver), time_of(&waiting, &replay));
    // The store's own deadline is ten seconds.
    for elapsed in [redelivered, replayed] {
        assert!(elapsed < Duration::from_secs(8), "{elapsed:?}");
    }
}
