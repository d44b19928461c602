//! What `null` says in the body of a change: the default, or nothing that can be done.

use reprise_testkit::fixture::create_endpoint;
use serde_json::{Value, json};

use crate::stage::{Stage, URL, faults, text};

#[tokio::test]
async fn null_is_the_default_of_a_field_that_has_one() {
    let stage = Stage::start().await;
    let full = json!({
        "description": "old", "event_patterns": ["a"], "timeout_seconds": 5, "max_retries": 3,
        "retry_schedule": [1, 2], "headers": {"X-A": "1"}, "rate_limit_per_second": 1, "max_in_flight": 1,
    });
    let before = create_endpoint(&stage.client, URL, full).await;
    let nulls = json!({
        "description": null, "timeout_seconds": null, "max_retries": null, "retry_schedule": null, "headers": null,
        "signature": null, "rate_limit_per_second": null, "max_in_flight": null,
    });
    let reset = stage.change_endpoint(&text(&before["id"]), nulls).await;
    assert_eq!(reset["timeout_seconds"], 15);
    assert_eq!(reset["max_retries"], 7);
    assert_eq!(reset["headers"], json!({}));
    for field in ["description", "rate_limit_per_second", "max_in_flight"] {
        assert_eq!(reset[field], Value::Null, "{field}");
    }
    for field in ["event_patterns", "secret_hint", "signature"] {
        assert_eq!(reset[field], before[field], "{field}");
    }
}

#[tokio::test]
async fn null_is_refused_where_there_is_nothing_that_it_could_mean() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({"event_patterns": ["a"]})).await;
    let path = format!("/v1/webhooks/endpoints/{id}");
    let before = stage.client.get(&path).await.json();
    let nulls = json!({"url": null, "event_patterns": null, "secret": null, "enabled": null});
    let refused = stage.client.patch(&path, &nulls).await;
    assert_eq!(
        faults(refused),
        [
            "body.enabled: bool_type",
            "body.event_patterns: list_type",
            "body.secret: string_type",
            "body.url: string_type"
        ]
    );
    assert_eq!(stage.client.get(&path).await.json(), before);
}

#[tokio::test]
async fn null_within_a_signature_is_the_schemes_default() {
    let stage = Stage::start().await;
    let own = json!({"scheme": "body", "header": "X-Own", "prefix": "sha256="});
    let id = stage.endpoint(json!({"signature": own})).await;
    let change = json!({"signature": {"prefix": null}});
    let changed = stage.change_endpoint(&id, change).await["signature"].clone();
    assert_eq!(
        (&changed["header"], &changed["prefix"]),
        (&json!("X-Own"), &json!(""))
    );
    let change = json!({"signature": {"header": null, "algorithm": null}});
    let changed = stage.change_endpoint(&id, change).await["signature"].clone();
    assert_eq!(changed["header"], "X-Signature");
    let change =
        json!({"signature": {"scheme": null}, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"});
    let changed = stage.change_endpoint(&id, change).await["signature"].clone();
    assert_eq!(changed["scheme"], "standard");
}

#[tokio::test]
async fn null_in_a_new_endpoint_is_as_good_as_nothing() {
    let stage = Stage::start().await;
    let nulls =
        json!({"event_patterns": null, "secret": null, "timeout_seconds": null, "signature": null});
    let made = create_endpoint(&stage.client, URL, nulls).await;
    assert_eq!(made["event_patterns"], json!(["*"]));
    assert_eq!(made["timeout_seconds"], 15);
    assert!(text(&made["secret"]).starts_with("whsec_"));
}
