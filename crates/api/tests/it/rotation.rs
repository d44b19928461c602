//! Signing secrets over HTTP: rotating them, and the two algorithms.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::stage::{Stage, URL, code, faults, text};

const ENDPOINTS: &str = "/v1/webhooks/endpoints";
const OWN: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// RFC 8032 section 7.1, test 1: the seed, and the public key that goes with it.
const OWN_PRIVATE: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const OWN_PUBLIC: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

fn rotate_path(id: &str) -> String {
    format!("{ENDPOINTS}/{id}/rotate-secret")
}

async fn get(stage: &Stage, id: &str) -> Value {
    let path = format!("{ENDPOINTS}/{id}");
    stage.client.get(&path).await.expect_status(200).json()
}

fn instant(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(&text(value), &Rfc3339).expect("an instant")
}

#[tokio::test]
async fn rotation_shows_the_new_secret_once_and_when_the_old_one_ends() {
    let stage = Stage::start().await;
    let made = stage
        .client
        .post(ENDPOINTS, &json!({"url": URL}))
        .await
        .json();
    let id = text(&made["id"]);
    assert_eq!(made["previous_secret_expires_at"], Value::Null);

    let rotated = stage
        .client
        .post_empty(&rotate_path(&id))
        .await
        .expect_status(200)
        .json();
    assert_ne!(rotated["secret"], made["secret"]);
    assert!(text(&rotated["secret"]).starts_with("whsec_"));
    let left = instant(&rotated["previous_secret_expires_at"]) - OffsetDateTime::now_utc();
    assert!((left - Duration::DAY).abs() < Duration::MINUTE, "{left}");
    let shown = get(&stage, &id).await;
    assert_eq!(shown["secret"], Value::Null);
    assert_eq!(shown["secret_hint"], rotated["secret_hint"]);
    assert_ne!(shown["secret_hint"], made["secret_hint"]);

    let body = json!({"secret": OWN, "overlap_seconds": 0});
    let rotated = stage
        .client
        .post(&rotate_path(&id), &body)
        .await
        .expect_status(200)
        .json();
    assert_eq!(rotated["secret"], OWN);
    assert_eq!(
        rotated["previous_secret_expires_at"],
        Value::Null,
        "no overlap"
    );
}

#[tokio::test]
async fn replacing_the_secret_ends_an_overlap() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let body = json!({"overlap_seconds": 604_800});
    let rotated = stage
        .client
        .post(&rotate_path(&id), &body)
        .await
        .expect_status(200)
        .json();
    assert!(rotated["previous_secret_expires_at"].is_string());
    let changed = stage
        .change_endpoint(&id, json!({"description": "x"}))
        .await;
    assert!(
        changed["previous_secret_expires_at"].is_string(),
        "{changed}"
    );
    let changed = stage.change_endpoint(&id, json!({"secret": OWN})).await;
    assert_eq!(changed["previous_secret_expires_at"], Value::Null);
}

#[tokio::test]
async fn rotation_within_an_overlap_begins_another_unless_it_ends_it() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let path = rotate_path(&id);
    for body in [json!({}), json!({"overlap_seconds": 60}), json!({})] {
        let rotated = stage.client.post(&path, &body).await.expect_status(200);
        assert!(
            rotated.json()["secret"]
                .as_str()
                .is_some_and(|secret| secret.len() > 30)
        );
        assert_ne!(
            get(&stage, &id).await["previous_secret_expires_at"],
            Value::Null
        );
    }
    let body = json!({"secret": OWN, "overlap_seconds": 0});
    let ended = stage.client.post(&path, &body).await.expect_status(200);
    assert_eq!(ended.json()["previous_secret_expires_at"], Value::Null);

    let same = stage.client.post(&path, &json!({"secret": OWN})).await;
    assert!(same.text().contains("is the endpoint's secret already"));
    assert_eq!(faults(same), ["body.secret: value_error"]);
}

#[tokio::test]
async fn overlap_is_shown_where_there_is_one_and_no_old_secret_comes_back() {
    let stage = Stage::start().await;
    let id = stage
        .endpoint(json!({"signature": {"scheme": "body"}, "secret": OWN}))
        .await;
    let path = rotate_path(&id);
    // One signature, and no overlap asked for: the new secret signs alone. So it can be rotated again.
    for _ in 0..2 {
        let rotated = stage.client.post_empty(&path).await.expect_status(200);
        assert_eq!(rotated.json()["previous_secret_expires_at"], Value::Null);
    }
    let rotated = stage
        .client
        .post(&path, &json!({"secret": OWN, "overlap_seconds": 600}))
        .await
        .expect_status(200);
    assert!(rotated.json()["previous_secret_expires_at"].is_string());
    let prefixed = json!({"signature": {"prefix": "sha256="}});
    let changed = stage.change_endpoint(&id, prefixed).await;
    assert!(changed["previous_secret_expires_at"].is_string());
    let standard = json!({"signature": {"scheme": "standard"}});
    let changed = stage.change_endpoint(&id, standard).await;
    assert_eq!(changed["previous_secret_expires_at"], Value::Null);
    let back = json!({"signature": {"scheme": "body"}});
    let changed = stage.change_endpoint(&id, back).await;
    assert_eq!(changed["previous_secret_expires_at"], Value::Null);
}

#[tokio::test]
async fn faults_of_a_rotation_are_told_and_nothing_is_rotated() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let before = get(&stage, &id).await;
    let body = json!({"secret": "short", "overlap_seconds": -1, "x": 1});
    assert_eq!(
        faults(stage.client.post(&rotate_path(&id), &body).await),
        [
            "body.overlap_seconds: greater_than_equal",
            "body.secret: value_error",
            "body.x: extra_forbidden"
        ]
    );
    for (body, fault) in [
        (json!({"secret": "short"}), "body.secret: value_error"),
        (
            json!({"overlap_seconds": 604_801}),
            "body.overlap_seconds: less_than_equal",
        ),
        (json!([]), "body: model_attributes_type"),
    ] {
        assert_eq!(
            faults(stage.client.post(&rotate_path(&id), &body).await),
            [fault]
        );
    }
    assert_eq!(get(&stage, &id).await, before);
    stage.delete_endpoint(&id).await;
    assert_eq!(
        code(stage.client.post_empty(&rotate_path(&id)).await, 409),
        "endpoint_deleted"
    );
}

#[tokio::test]
async fn ed25519_endpoint_shows_its_public_key_and_takes_only_private_keys() {
    let stage = Stage::start().await;
    let signature = json!({"algorithm": "ed25519"});
    let body = json!({"url": URL, "signature": signature, "secret": OWN_PRIVATE});
    let made = stage
        .client
        .post(ENDPOINTS, &body)
        .await
        .expect_status(201)
        .json();
    assert_eq!(made["public_key"], OWN_PUBLIC);
    assert_eq!(made["signature"]["algorithm"], "ed25519");
    let path = rotate_path(&text(&made["id"]));
    let rotated = stage
        .client
        .post_empty(&path)
        .await
        .expect_status(200)
        .json();
    assert!(text(&rotated["secret"]).starts_with("whsk_"), "{rotated}");
    assert!(text(&rotated["public_key"]).starts_with("whpk_"));
    assert_ne!(rotated["public_key"], OWN_PUBLIC);

    let wrong = json!({"url": URL, "signature": signature, "secret": OWN});
    assert_eq!(
        faults(stage.client.post(ENDPOINTS, &wrong).await),
        ["body.secret: value_error"]
    );
    let wrong = json!({"url": URL, "signature": {"scheme": "body", "algorithm": "ed25519"}});
    assert_eq!(
        faults(stage.client.post(ENDPOINTS, &wrong).await),
        ["body.signature.algorithm: value_error"]
    );
}

#[tokio::test]
async fn another_algorithm_needs_a_secret_that_fits_it() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let path = format!("{ENDPOINTS}/{id}");
    let change = json!({"signature": {"algorithm": "ed25519"}});
    assert_eq!(
        faults(stage.client.patch(&path, &change).await),
        ["body.secret: value_error"]
    );
    let change = json!({"signature": {"algorithm": "ed25519"}, "secret": OWN_PRIVATE});
    let changed = stage.change_endpoint(&id, change).await;
    assert_eq!(changed["public_key"], OWN_PUBLIC);
    let back = stage
        .change_endpoint(&id, json!({"signature": null, "secret": OWN}))
        .await;
    assert_eq!(back["public_key"], Value::Null);
    assert_eq!(back["signature"]["algorithm"], "hmac-sha256");
}

#[tokio::test]
async fn change_that_changes_nothing_is_not_written() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({"description": "x"})).await;
    let before = get(&stage, &id).await;
    for nothing in [json!({}), json!({"description": "x", "enabled": true})] {
        assert_eq!(stage.change_endpoint(&id, nothing).await, before);
    }
}
