//! Trying an endpoint out: test events and challenges, with a real dispatcher and receiver.

use std::time::Duration;

use reprise_testkit::fixture::{self, Dispatcher};
use reprise_testkit::receiver::{Answer, Receiver};
use reprise_testkit::verify::verify_standard;
use serde_json::{Value, json};

use crate::stage::{Stage, code, text};

const PATIENCE: Duration = Duration::from_secs(30);

fn path(id: &str, what: &str) -> String {
    format!("/v1/webhooks/endpoints/{id}/{what}")
}

#[tokio::test]
async fn test_event_goes_to_this_endpoint_alone_whatever_it_wants() {
    let stage = Stage::start().await;
    let _dispatcher = Dispatcher::start(stage.database.url()).await;
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let only = json!({"event_patterns": ["nothing.else"]});
    let made = fixture::create_endpoint(&stage.client, &receiver.url("/"), only).await;
    fixture::create_endpoint(&stage.client, &other.url("/"), json!({})).await;
    let id = text(&made["id"]);
    let delivery = stage
        .client
        .post_empty(&path(&id, "test"))
        .await
        .expect_status(200)
        .json();
    assert_eq!(delivery["event_type"], "webhook.test");
    assert_eq!(delivery["endpoint_id"], id);
    assert_eq!(delivery["status"], "pending");

    let received = receiver.wait_for(1, PATIENCE).await.remove(0);
    verify_standard(&text(&made["secret"]), &received).expect("it is signed");
    assert_eq!(received.header("webhook-event-type"), Some("webhook.test"));
    let payload: Value = serde_json::from_slice(&received.body).expect("JSON");
    assert_eq!(
        (&payload["type"], &payload["endpoint_id"]),
        (&json!("webhook.test"), &json!(id))
    );
    let is_delivered = |delivery: &Value| delivery["status"] == "delivered";
    fixture::wait_for_delivery(
        &stage.client,
        &text(&delivery["id"]),
        is_delivered,
        PATIENCE,
    )
    .await;
    let event = format!("/v1/webhooks/events/{}", text(&delivery["event_id"]));
    assert_eq!(stage.client.get(&event).await.json()["payload"], payload);
    assert_eq!(other.received().len(), 0);
}

/// A receiver that answers each challenge, an endpoint at it, and a dispatcher.
async fn verify(
    stage: &Stage,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (String, Value) {
    let receiver = Receiver::start().await;
    receiver.answer_by("/", move |request| {
        let payload: Value = serde_json::from_slice(&request.body).expect("JSON");
        answer(payload["challenge"].as_str().expect("a challenge"))
    });
    let made = fixture::create_endpoint(&stage.client, &receiver.url("/"), json!({})).await;
    let id = text(&made["id"]);
    let answer = stage
        .client
        .post_empty(&path(&id, "verify"))
        .await
        .expect_status(200)
        .json();
    assert_eq!(receiver.received().len(), 1, "a challenge is sent once");
    verify_standard(&text(&made["secret"]), &receiver.received()[0]).expect("it is signed");
    (id, answer)
}

/// Whether the endpoint is a confirmed hook.
async fn is_confirmed(stage: &Stage, id: &str) -> bool {
    let hook = stage
        .client
        .get(&format!("/hooks/{id}"))
        .await
        .expect_status(200);
    hook.json()["confirmed"].as_bool().expect("true or false")
}

#[tokio::test]
async fn receiver_that_echoes_the_challenge_is_verified_until_the_url_changes() {
    let stage = Stage::start().await;
    let _dispatcher = Dispatcher::start(stage.database.url()).await;
    let (id, answer) = verify(&stage, |challenge| {
        Answer::status(200).body(json!({"challenge": challenge}).to_string())
    })
    .await;
    assert_eq!(answer["status"], "verified", "{answer}");
    assert_eq!(answer["response_status"], 200);
    assert!(answer["response_duration_ms"].is_u64());
    let endpoint = stage
        .client
        .get(&format!("/v1/webhooks/endpoints/{id}"))
        .await
        .json();
    assert_eq!(endpoint["verified_at"], answer["verified_at"]);
    assert!(answer["verified_at"].is_string());
    assert!(is_confirmed(&stage, &id).await);
    let same = stage
        .change_endpoint(&id, json!({"description": "x"}))
        .await;
    assert_eq!(same["verified_at"], answer["verified_at"]);
    let moved = stage
        .change_endpoint(&id, json!({"url": "http://127.0.0.1:18080/other"}))
        .await;
    assert_eq!(moved["verified_at"], Value::Null);
    assert!(!is_confirmed(&stage, &id).await);
}

#[tokio::test]
async fn receiver_that_does_not_echo_is_not_verified_and_not_asked_again() {
    let stage = Stage::start().await;
    let _dispatcher = Dispatcher::start(stage.database.url()).await;
    let (_, silent) = verify(&stage, |_| Answer::status(204)).await;
    assert_eq!(silent["status"], "failed");
    assert_eq!(
        silent["reason"],
        "The receiver did not answer with the challenge"
    );
    let (_, wrong) = verify(&stage, |challenge| {
        Answer::status(500).body(challenge.to_owned())
    })
    .await;
    assert_eq!(
        (&wrong["status"], &wrong["response_status"]),
        (&json!("failed"), &json!(500))
    );
    assert_eq!(wrong["verified_at"], Value::Null);
    let delivery = stage.delivery(&text(&wrong["delivery_id"])).await;
    assert_eq!(
        delivery["status"], "failed",
        "it is not retried: {delivery}"
    );
}

#[tokio::test]
async fn challenge_that_no_dispatcher_sends_is_taken_back() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let hasty = stage.client.header("Prefer", "wait=0");
    let answer = hasty
        .post_empty(&path(&id, "verify"))
        .await
        .expect_status(200);
    assert_eq!(answer.header("preference-applied"), Some("wait=0"));
    let answer = answer.json();
    assert_eq!(
        answer["reason"],
        "No dispatcher has sent the challenge in time"
    );
    let delivery = stage.delivery(&text(&answer["delivery_id"])).await;
    assert_eq!(delivery["status"], "canceled");
}

#[tokio::test]
async fn disabled_and_deleted_endpoints_can_not_be_tried_out() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    stage.change_endpoint(&id, json!({"enabled": false})).await;
    for what in ["test", "verify"] {
        assert_eq!(
            code(stage.client.post_empty(&path(&id, what)).await, 409),
            "endpoint_disabled"
        );
    }
    stage.delete_endpoint(&id).await;
    for what in ["test", "verify"] {
        assert_eq!(
            code(stage.client.post_empty(&path(&id, what)).await, 409),
            "endpoint_disabled"
        );
    }
}
