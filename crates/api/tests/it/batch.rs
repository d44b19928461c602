//! Publishing many events at once.

use reprise_testkit::http::Content;
use serde_json::{Value, json};

use crate::rows;
use crate::stage::{Stage, code, faults, text};

const BATCH: &str = "/v1/webhooks/events/batch";

fn events(count: usize) -> Value {
    (0..count)
        .map(|n| json!({"event_type": format!("batch.n{n}"), "payload": {"n": n}, "event_group": "g"}))
        .collect()
}

async fn publish(stage: &Stage, body: &Value) -> Vec<Value> {
    let answer = stage
        .client
        .post(BATCH, body)
        .await
        .expect_status(202)
        .json();
    answer.as_array().expect("a list").clone()
}

#[tokio::test]
async fn events_of_a_batch_are_stored_in_order_with_their_deliveries() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    stage
        .endpoint(json!({"event_patterns": ["batch.n1"]}))
        .await;
    let results = publish(&stage, &events(3)).await;
    let told: Vec<_> = results
        .iter()
        .map(|one| (text(&one["event_type"]), one["deliveries"].clone()))
        .collect();
    let expected = [("batch.n0", 1), ("batch.n1", 2), ("batch.n2", 1)];
    assert_eq!(
        told,
        expected.map(|(name, count)| (name.to_owned(), json!(count)))
    );
    for result in &results {
        let path = format!("/v1/webhooks/events/{}", text(&result["id"]));
        let event = stage.client.get(&path).await.expect_status(200).json();
        assert_eq!(event["created_at"], result["created_at"]);
    }
    assert_eq!(publish(&stage, &events(1_000)).await.len(), 1_000);
}

#[tokio::test]
async fn one_bad_event_refuses_the_whole_batch_with_the_faults_of_all() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let body = json!([
        {"event_type": "ok", "payload": 1},
        {"event_type": "not ok", "event_group": "", "x": 1},
        7,
        {"event_type": "webhook.challenge", "payload": null},
    ]);
    assert_eq!(
        faults(stage.client.post(BATCH, &body).await),
        [
            "body.1.event_group: value_error",
            "body.1.event_type: value_error",
            "body.1.payload: missing",
            "body.1.x: extra_forbidden",
            "body.2: model_attributes_type",
            "body.3.event_type: value_error",
        ]
    );
    for (body, fault) in [
        (json!([]), "body: too_short"),
        (events(1_001), "body: too_long"),
        (json!({}), "body: list_type"),
        (json!("x"), "body: list_type"),
    ] {
        assert_eq!(faults(stage.client.post(BATCH, &body).await), [fault]);
    }
    let mut conn = stage.database.connect().await;
    assert_eq!(rows::count(&mut conn, "events").await, 0);
    assert_eq!(rows::count(&mut conn, "deliveries").await, 0);
}

#[tokio::test]
async fn repeated_batch_gets_the_first_answer_and_makes_nothing() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let keyed = stage.client.header("Idempotency-Key", "batch-1");
    let first = keyed
        .post(BATCH, &events(2))
        .await
        .expect_status(202)
        .json();
    let again = keyed
        .post(BATCH, &events(2))
        .await
        .expect_status(202)
        .json();
    assert_eq!(again, first);
    assert_eq!(
        code(keyed.post(BATCH, &events(3)).await, 409),
        "idempotency_key_reused"
    );
    let mut conn = stage.database.connect().await;
    assert_eq!(rows::count(&mut conn, "events").await, 2);
}

#[tokio::test]
async fn batch_body_may_be_sixteen_mebibytes_and_a_payload_one() {
    let stage = Stage::start().await;
    let payload = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let body = |payloads: &[String]| {
        let events: Vec<String> = payloads
            .iter()
            .map(|payload| format!("{{\"event_type\":\"a\",\"payload\":{payload}}}"))
            .collect();
        Content::new("application/json", format!("[{}]", events.join(",")))
    };
    let post = async |content| {
        let method = reprise_testkit::http::Method::POST;
        stage.client.send(method, BATCH, Some(content)).await
    };
    let mebibyte = 1024 * 1024;
    let fits = post(body(&vec![payload(mebibyte); 15]))
        .await
        .expect_status(202);
    assert_eq!(fits.json().as_array().map(Vec::len), Some(15));
    let too_large = post(body(&[payload(mebibyte), payload(mebibyte + 1)])).await;
    assert_eq!(faults(too_large), ["body.1.payload: value_error"]);
    let too_long = post(body(&vec![payload(mebibyte); 17])).await;
    assert_eq!(code(too_long, 413), "body_too_large");
}

#[tokio::test]
async fn payload_in_a_batch_may_be_as_deep_as_one_alone() {
    let stage = Stage::start().await;
    let post = async |path: &str, depth: usize, is_batch: bool| {
        let payload = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let event = format!(r#"{{"event_type":"a","payload":{payload}}}"#);
        let body = if is_batch {
            format!("[{event}]")
        } else {
            event
        };
        stage.client.post_raw(path, "application/json", body).await
    };
    for (path, is_batch) in [("/v1/webhooks/events", false), (BATCH, true)] {
        let taken = post(path, 127, is_batch).await;
        assert_eq!(taken.status, 202, "{path}: {}", taken.text());
        let refused = post(path, 128, is_batch).await;
        assert_eq!(faults(refused), ["body: value_error"], "{path}");
    }
}

#[tokio::test]
async fn batch_with_too_many_deliveries_is_refused_whole() {
    let stage = Stage::start().await;
    let mut conn = stage.database.connect().await;
    stage.endpoint(json!({})).await;
    rows::copy_endpoints(&mut conn, 100).await;
    assert_eq!(
        code(stage.client.post(BATCH, &events(1_000)).await, 413),
        "too_many_deliveries"
    );
    assert_eq!(rows::count(&mut conn, "events").await, 0);
    assert_eq!(publish(&stage, &events(2)).await[0]["deliveries"], 101);
}
