//! Calling off a delivery.

use diesel_async::SimpleAsyncConnection;
use serde_json::{Value, json};

use crate::played_dispatcher::Played;
use crate::stage::{Stage, code, redeliver_path};

fn cancel_path(id: &str) -> String {
    format!("/v1/webhooks/deliveries/{id}/cancel")
}

async fn cancel(stage: &Stage, id: &str) -> Value {
    stage
        .client
        .post_empty(&cancel_path(id))
        .await
        .expect_status(200)
        .json()
}

async fn expire_leases(stage: &Stage) {
    let mut conn = stage.database.connect().await;
    conn.batch_execute("UPDATE delivery_queue SET due_at = now() - interval '1 second' WHERE lease_token IS NOT NULL")
        .await
        .expect("expired");
}

#[tokio::test]
async fn waiting_delivery_is_canceled_and_never_sent() {
    let stage = Stage::start().await;
    let endpoint = stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let retrying = stage
        .attempted(&mut dispatcher, Played::Answered(500))
        .await;
    let pending = stage.deliver("a").await;
    for (id, attempts) in [(&retrying, 1), (&pending, 0)] {
        let canceled = cancel(&stage, id).await;
        assert_eq!(canceled["status"], "canceled");
        assert_eq!(canceled["attempt_count"], attempts);
        assert_eq!(canceled["next_retry_at"], Value::Null);
        assert_eq!(canceled["error_message"], "Canceled by request");
        assert_eq!(stage.delivery(id).await, canceled);
    }
    assert_eq!(dispatcher.claim_ready(10).await.len(), 0);
    let kept_back = stage.deliver("b").await;
    stage
        .change_endpoint(&endpoint, json!({"enabled": false}))
        .await;
    dispatcher.settle().await;
    assert_eq!(cancel(&stage, &kept_back).await["status"], "canceled");
}

#[tokio::test]
async fn delivery_that_is_being_sent_or_has_ended_can_not_be_canceled() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage.deliver("a").await;
    let claims = dispatcher.claim_ready(1).await;
    let refused = stage.client.post_empty(&cancel_path(&id)).await;
    assert_eq!(code(refused, 409), "delivery_not_cancelable");
    dispatcher.finish(&claims[0], Played::Answered(200)).await;
    let refused = stage.client.post_empty(&cancel_path(&id)).await;
    assert_eq!(code(refused, 409), "delivery_not_cancelable");
    assert_eq!(stage.delivery(&id).await["status"], "delivered");
}

#[tokio::test]
async fn canceled_delivery_can_be_replayed() {
    let stage = Stage::start().await;
    let endpoint = stage.endpoint(json!({})).await;
    let id = stage.deliver("a").await;
    cancel(&stage, &id).await;
    let replay = stage.replay(&id).await.expect_status(200).json();
    assert_eq!(replay["replay_of_delivery_id"], id);
    let hasty = stage.client.header("Prefer", "wait=0");
    let redelivered = hasty.post_empty(&redeliver_path(&endpoint, &id)).await;
    assert_eq!(redelivered.expect_status(200).json()["id"], id);
    let mut dispatcher = stage.dispatcher().await;
    let claims = dispatcher.claim_ready(10).await;
    assert_eq!(
        claims.len(),
        2,
        "the two replays, and not what was canceled"
    );
    assert!(
        claims
            .iter()
            .all(|claim| claim.delivery_id.to_string() != id)
    );
    assert_eq!(
        stage.delivery(&id).await["status"],
        "canceled",
        "it stays what it was"
    );
}

#[tokio::test]
async fn claims_and_cancels_at_once_never_both_win() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    for _ in 0..20 {
        let id = stage.deliver("a").await;
        let path = cancel_path(&id);
        let (claims, answer) =
            tokio::join!(dispatcher.claim_ready(1), stage.client.post_empty(&path));
        let is_claimed = !claims.is_empty();
        assert_eq!(answer.status == 200, !is_claimed, "{}", answer.text());
        if is_claimed {
            assert_eq!(code(answer, 409), "delivery_not_cancelable");
            dispatcher.finish(&claims[0], Played::Answered(200)).await;
            assert_eq!(stage.delivery(&id).await["status"], "delivered");
        } else {
            assert_eq!(stage.delivery(&id).await["status"], "canceled");
        }
    }
}

#[tokio::test]
async fn delivery_whose_dispatcher_died_is_canceled_and_shows_the_lost_attempt() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage.deliver("a").await;
    let lost = dispatcher.claim_ready(1).await.remove(0);
    expire_leases(&stage).await;
    let canceled = cancel(&stage, &id).await;
    assert_eq!(canceled["status"], "canceled");
    assert_eq!(canceled["attempt_count"], 1);
    let path = format!("/v1/webhooks/deliveries/{id}/attempts");
    let attempts = stage.client.get(&path).await.json();
    assert_eq!(attempts["items"][0]["id"], lost.attempt_id.to_string());
    assert_eq!(attempts["items"][0]["error_kind"], "lost");
}

#[tokio::test]
async fn delivery_whose_last_attempt_was_lost_has_failed_and_can_not_be_canceled() {
    let stage = Stage::start().await;
    stage.endpoint(json!({"max_retries": 0})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage.deliver("a").await;
    assert_eq!(dispatcher.claim_ready(1).await.len(), 1);
    expire_leases(&stage).await;
    let refused = stage.client.post_empty(&cancel_path(&id)).await;
    let body = refused.expect_status(409).json();
    assert_eq!(
        body["detail"],
        "The delivery is failed and can't be canceled"
    );
}
