//! Endpoints that are disabled, enabled and deleted, and what becomes of their deliveries.

use std::cell::Cell;
use std::time::{Duration, Instant};

use reprise_testkit::polling::poll_until;
use serde_json::{Value, json};

use crate::played_dispatcher::Played;
use crate::stage::{Stage, code};

const PATH: &str = "/v1/webhooks/endpoints";

fn path(id: &str) -> String {
    format!("{PATH}/{id}")
}

#[tokio::test]
async fn endpoint_is_disabled_and_enabled_with_its_reason() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let disabled = stage.change_endpoint(&id, json!({"enabled": false})).await;
    assert_eq!(
        (&disabled["status"], &disabled["enabled"]),
        (&json!("disabled"), &json!(false))
    );
    assert_eq!(disabled["disabled_reason"], "Disabled by request");
    let shown = stage.client.get(&path(&id)).await.json();
    assert_eq!(shown["status"], "disabled");
    let enabled = stage.change_endpoint(&id, json!({"enabled": true})).await;
    assert_eq!(
        (&enabled["status"], &enabled["disabled_reason"]),
        (&json!("enabled"), &Value::Null)
    );
}

#[tokio::test]
async fn deliveries_of_a_disabled_endpoint_are_kept_back_until_it_is_enabled() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let delivery = stage.deliver("invoice.paid").await;
    stage.change_endpoint(&id, json!({"enabled": false})).await;
    let mut dispatcher = stage.dispatcher().await;
    assert!(
        dispatcher.claim_ready(10).await.is_empty(),
        "from the answer on"
    );
    dispatcher.settle().await;
    assert_eq!(stage.delivery(&delivery).await["status"], "pending");
    stage.change_endpoint(&id, json!({"enabled": true})).await;
    dispatcher.settle().await;
    dispatcher.play_one(Played::Answered(200)).await;
    assert_eq!(stage.delivery(&delivery).await["status"], "delivered");
}

#[tokio::test]
async fn gone_receiver_disables_its_endpoint() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let delivery = stage
        .attempted(&mut dispatcher, Played::Answered(410))
        .await;
    let endpoint = stage.client.get(&path(&id)).await.json();
    assert_eq!(endpoint["status"], "disabled");
    assert_eq!(
        endpoint["disabled_reason"],
        "The receiver answered 410 Gone"
    );
    let delivery = stage.delivery(&delivery).await;
    assert_eq!(
        (&delivery["status"], &delivery["final_http_status"]),
        (&json!("failed"), &json!(410))
    );
}

#[tokio::test]
async fn deleted_endpoint_leaves_the_list_but_not_the_history() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let kept = stage.endpoint(json!({"event_patterns": ["other"]})).await;
    let delivery = stage.deliver("invoice.paid").await;
    let deleted = stage.delete_endpoint(&id).await;
    assert_eq!(
        (&deleted["status"], &deleted["enabled"]),
        (&json!("deleted"), &json!(false))
    );
    let listed = stage.client.get(PATH).await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(listed[0]["id"], kept);
    assert_eq!(
        stage.client.get(&path(&id)).await.expect_status(200).json(),
        deleted
    );
    let answer = stage
        .client
        .patch(&path(&id), &json!({"enabled": true}))
        .await;
    assert_eq!(code(answer, 409), "endpoint_deleted");
    assert_eq!(
        stage.delete_endpoint(&id).await["status"],
        "deleted",
        "twice is fine"
    );
    let published = stage
        .client
        .post(
            "/v1/webhooks/events",
            &json!({"event_type": "a", "payload": 1}),
        )
        .await;
    assert_eq!(published.expect_status(202).json()["deliveries"], 0);

    let mut dispatcher = stage.dispatcher().await;
    assert!(
        dispatcher.claim_ready(10).await.is_empty(),
        "nothing is sent from the answer on"
    );
    dispatcher.settle().await;
    let delivery = stage.delivery(&delivery).await;
    assert_eq!(delivery["status"], "canceled");
    assert_eq!(delivery["error_message"], "The endpoint was deleted");
    assert_eq!(delivery["final_http_status"], Value::Null);
}

/// Looks at an endpoint until it is deleted, and some times more: whoever answers its deletion at once has done so by
/// then.
async fn see_deleted(stage: &Stage, id: &str) {
    let mut looks = 0;
    let seen = poll_until(Duration::from_secs(20), async || {
        let endpoint = stage.client.get(&path(id)).await.json();
        looks += usize::from(endpoint["status"] == "deleted");
        (looks == 10).then_some(())
    });
    seen.await.expect("it is deleted");
}

#[tokio::test]
async fn deletion_is_answered_when_what_was_under_way_has_ended_and_nothing_is_sent_afterwards() {
    for family in [PATH, "/hooks"] {
        let stage = Stage::start().await;
        let id = stage.endpoint(json!({})).await;
        stage.publish("a").await;
        stage.publish("a").await;
        let mut dispatcher = stage.dispatcher().await;
        let claim = dispatcher.claim_ready(1).await.remove(0);
        let has_ended = Cell::new(false);
        let deleting = async {
            let answer = stage.client.delete(&format!("{family}/{id}")).await;
            assert!(
                has_ended.get(),
                "{family} answers while an attempt is under way"
            );
            answer
        };
        let ending = async {
            see_deleted(&stage, &id).await;
            has_ended.set(true);
            dispatcher.finish(&claim, Played::Answered(200)).await;
        };
        let (answer, ()) = tokio::join!(deleting, ending);
        assert!(answer.status < 300, "{}", answer.text());
        assert_eq!(
            dispatcher.claim_ready(10).await.len(),
            0,
            "nothing more is sent"
        );
    }
}

#[tokio::test]
async fn deletion_does_not_wait_for_a_receiver_that_hangs() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    stage.publish("a").await;
    let mut dispatcher = stage.dispatcher().await;
    let claim = dispatcher.claim_ready(1).await.remove(0);
    let begun = Instant::now();
    assert_eq!(stage.delete_endpoint(&id).await["status"], "deleted");
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    dispatcher.finish(&claim, Played::Answered(200)).await;
}

#[tokio::test]
async fn endpoint_tells_since_when_it_fails_and_when_it_succeeded_last() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let mut after = async |played| {
        stage.attempted(&mut dispatcher, played).await;
        let endpoint = stage.client.get(&path(&id)).await.json();
        (
            endpoint["failing_since"].clone(),
            endpoint["last_success_at"].clone(),
        )
    };
    let (since, success) = after(Played::Unreachable).await;
    assert!(since.is_string() && success.is_null(), "{since} {success}");
    let (still, success) = after(Played::Answered(500)).await;
    assert_eq!(
        (&still, success),
        (&since, Value::Null),
        "since the first failure"
    );
    let (since, success) = after(Played::Answered(200)).await;
    assert!(since.is_null() && success.is_string(), "{since} {success}");
    let (again, last) = after(Played::Answered(500)).await;
    assert!(again.is_string(), "it fails again");
    assert_eq!(last, success, "the success is not forgotten");
}
