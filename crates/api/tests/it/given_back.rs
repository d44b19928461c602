//! What one family made or shows, given back by the other or changed there.

use serde_json::{Value, json};

use crate::stage::{Stage, URL, faults, text};

fn hook_path(id: &str) -> String {
    format!("/hooks/{id}")
}

fn endpoint_path(id: &str) -> String {
    format!("/v1/webhooks/endpoints/{id}")
}

async fn headers(stage: &Stage, id: &str) -> Value {
    let endpoint = stage.client.get(&endpoint_path(id)).await;
    endpoint.expect_status(200).json()["headers"].clone()
}

#[tokio::test]
async fn header_of_a_hook_that_would_carry_the_signature_is_refused() {
    let stage = Stage::start().await;
    for header in ["X-Signature: v", "x-signature: v"] {
        let body = json!({"url": URL, "header": header});
        let refused = stage.client.post("/hooks", &body).await;
        assert_eq!(faults(refused), ["body.header: value_error"]);
    }
    let signature = json!({"scheme": "timestamped", "header": "X-Own"});
    let id = stage.endpoint(json!({"signature": signature})).await;
    let change = json!({"header": "X-Own: v"});
    let refused = stage.client.patch(&hook_path(&id), &change).await;
    assert_eq!(faults(refused), ["body.header: value_error"]);
    let change = json!({"header": "X-Signature: v"});
    let _ = stage
        .client
        .patch(&hook_path(&id), &change)
        .await
        .expect_status(200);
    let renamed = json!({"description": "goes on being changed"});
    stage.change_endpoint(&id, renamed).await;
}

#[tokio::test]
async fn header_that_was_shown_may_be_given_back_and_the_others_stay() {
    let stage = Stage::start().await;
    let both = json!({"X-A": "1", "X-B": "2"});
    let id = stage.endpoint(json!({"headers": both})).await;
    let path = hook_path(&id);
    let hook = stage.client.get(&path).await.expect_status(200).json();
    let shown = text(&hook["config"]["header"]);
    let put = async |header: Value| {
        let body = json!({ "header": header });
        stage.client.put(&path, &body).await.expect_status(200)
    };
    put(json!(shown)).await;
    assert_eq!(headers(&stage, &id).await, both);
    put(json!("X-A: other")).await;
    assert_eq!(headers(&stage, &id).await, json!({"X-A": "other"}));
    put(Value::Null).await;
    assert_eq!(headers(&stage, &id).await, json!({}));
}

#[tokio::test]
async fn longest_subject_is_taken_shown_as_it_was_written_and_given_back() {
    let stage = Stage::start().await;
    for length in [126, 127, 128] {
        let subject = format!("form.{}", "x".repeat(length - 5));
        let body = json!({"url": URL, "events": [subject], "active": true});
        let hook = stage
            .client
            .post("/hooks", &body)
            .await
            .expect_status(201)
            .json();
        assert_eq!(hook["events"], json!([subject]));
        let path = hook_path(&text(&hook["id"]));
        let back = json!({"events": hook["events"]});
        let again = stage
            .client
            .put(&path, &back)
            .await
            .expect_status(200)
            .json();
        assert_eq!(again["events"], json!([subject]));
        let sent = stage.publish(&subject).await;
        let gets = stage
            .client
            .get(&format!("/v1/webhooks/events/{sent}/deliveries"))
            .await
            .json();
        let hook_ids: Vec<&Value> = gets["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|delivery| &delivery["endpoint_id"])
            .collect();
        assert_eq!(hook_ids, [&hook["id"]]);
    }
}

#[tokio::test]
async fn as_many_patterns_as_a_hook_may_have_are_taken_by_the_other_family() {
    let stage = Stage::start().await;
    let subjects = |count: usize| -> Vec<String> {
        (0..count)
            .map(|number| format!("subject{number}"))
            .collect()
    };
    let body = |events: Vec<String>| json!({"url": URL, "events": events});
    let many = stage.client.post("/hooks", &body(subjects(51))).await;
    assert_eq!(faults(many), ["body.events: too_long"]);
    let actions = (0..100).map(|number| format!("subject:{number}")).collect();
    for events in [subjects(50), actions] {
        let hook = stage.client.post("/hooks", &body(events)).await;
        let id = text(&hook.expect_status(201).json()["id"]);
        let shown = stage.client.get(&endpoint_path(&id)).await.json();
        let back = json!({"event_patterns": shown["event_patterns"]});
        let again = stage.change_endpoint(&id, back).await;
        assert_eq!(again["event_patterns"], shown["event_patterns"]);
    }
}
