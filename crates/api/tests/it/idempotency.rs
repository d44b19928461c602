//! How far an `Idempotency-Key` reaches: one tenant, method and path.

use serde_json::json;

use crate::played_dispatcher::Played;
use crate::stage::{Stage, redeliver_path, replay_path, text};

/// The id of what a call with the key made: a delivery, or an attempt where the delivery's id is not told.
async fn made(stage: &Stage, path: &str) -> String {
    let client = stage
        .client
        .header("Idempotency-Key", "k")
        .header("Prefer", "wait=0");
    let answer = client.post_empty(path).await.expect_status(200).json();
    let id = if path.starts_with("/hooks") {
        "delivery_id"
    } else {
        "id"
    };
    text(&answer[id])
}

#[tokio::test]
async fn same_key_on_another_path_is_another_request() {
    let stage = Stage::start().await;
    let endpoint = stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let first = stage
        .attempted(&mut dispatcher, Played::Answered(200))
        .await;
    let second = stage
        .attempted(&mut dispatcher, Played::Answered(200))
        .await;
    let paths = [
        replay_path(&first),
        replay_path(&second),
        redeliver_path(&endpoint, &first),
        redeliver_path(&endpoint, &second),
    ];
    let mut all = Vec::new();
    for path in &paths {
        all.push(made(&stage, path).await);
    }
    for (path, id) in paths.iter().zip(&all) {
        assert_eq!(&made(&stage, path).await, id, "{path} again");
    }
    for (path, id) in [(&first, &all[0]), (&second, &all[1])] {
        assert_eq!(&stage.delivery(id).await["replay_of_delivery_id"], path);
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), paths.len(), "each path made one");
}

#[tokio::test]
async fn same_key_for_an_event_and_a_batch_are_two_requests() {
    let stage = Stage::start().await;
    let keyed = stage.client.header("Idempotency-Key", "k");
    let event = json!({"event_type": "a", "payload": 1});
    let one = keyed
        .post("/v1/webhooks/events", &event)
        .await
        .expect_status(202)
        .json();
    let batch = keyed
        .post("/v1/webhooks/events/batch", &json!([event]))
        .await
        .expect_status(202)
        .json();
    assert_ne!(one["id"], batch[0]["id"]);
    let listed = stage.client.get("/v1/webhooks/events").await.json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2));
}
