use serde_json::{Value, json};

use super::document;

fn schema(name: &str) -> Value {
    document().unwrap()["components"]["schemas"][name].clone()
}

fn nullable(kind: &Value, title: &str) -> Value {
    json!({"anyOf": [kind, {"type": "null"}], "title": title})
}

#[test]
fn the_delivery_is_schema_a() {
    let text = json!({"type": "string"});
    let instant = json!({"type": "string", "format": "date-time"});
    let mut properties = schema("WebhookDeliveryResponse")["properties"].clone();
    properties.as_object_mut().unwrap().remove("attempt_count");
    let expected = json!({
        "id": {"type": "string", "title": "Id"},
        "endpoint_id": {"type": "string", "title": "Endpoint Id"},
        "user_id": {"type": "integer", "title": "User Id"},
        "event_id": nullable(&text, "Event Id"),
        "event_type": {"type": "string", "title": "Event Type"},
        "event_group": nullable(&text, "Event Group"),
        "status": {"type": "string", "title": "Status"},
        "scheduled_attempt": {"type": "integer", "title": "Scheduled Attempt"},
        "next_retry_at": nullable(&instant, "Next Retry At"),
        "last_attempt_at": nullable(&instant, "Last Attempt At"),
        "delivered_at": nullable(&instant, "Delivered At"),
        "final_http_status": nullable(&json!({"type": "integer"}), "Final Http Status"),
        "error_message": nullable(&text, "Error Message"),
        "replay_of_delivery_id": nullable(&text, "Replay Of Delivery Id"),
        "created_at": {"type": "string", "format": "date-time", "title": "Created At"},
        "updated_at": {"type": "string", "format": "date-time", "title": "Updated At"},
    });
    assert_eq!(properties, expected);
    assert_eq!(
        schema("WebhookDeliveryResponse")["required"],
        json!([
            "id",
            "endpoint_id",
            "user_id",
            "event_type",
            "status",
            "scheduled_attempt",
            "created_at",
            "updated_at"
        ])
    );
}

#[test]
fn the_faults_are_schema_a() {
    let without_notes = |name| {
        let mut schema = schema(name);
        schema.as_object_mut().unwrap().remove("description");
        for (_, property) in schema["properties"].as_object_mut().unwrap() {
            property.as_object_mut().unwrap().remove("description");
        }
        schema
    };
    let fault = json!({
        "properties": {
            "loc": {
                "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                "type": "array",
                "title": "Location",
            },
            "msg": {"type": "string", "title": "Message"},
            "type": {"type": "string", "title": "Error Type"},
        },
        "type": "object",
        "required": ["loc", "msg", "type"],
        "title": "ValidationError",
    });
    assert_eq!(without_notes("ValidationError"), fault);
    let faults = json!({
        "properties": {
            "detail": {"items": {"$ref": "#/components/schemas/ValidationError"}, "type": "array", "title": "Detail"},
        },
        "type": "object",
        "title": "HTTPValidationError",
    });
    assert_eq!(without_notes("HTTPValidationError"), faults);
}

/// Every operation, by what it is called in messages.
fn operations() -> Vec<(String, Value)> {
    let document = document().unwrap();
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, operations): (&String, &Value)| {
        let operations = operations.as_object().unwrap().clone();
        let path = path.clone();
        operations
            .into_iter()
            .map(move |(method, operation)| (format!("{method} {path}"), operation))
    };
    paths.iter().flat_map(of_path).collect()
}

#[test]
fn every_response_is_described_and_credentials_are_asked_for() {
    for (called, operation) in operations() {
        let responses = operation["responses"].as_object().unwrap();
        for response in responses.values() {
            assert!(
                !response["description"].as_str().unwrap().is_empty(),
                "{called}"
            );
        }
        let is_open = operation["security"] == json!([{}]);
        assert_eq!(responses.contains_key("403"), !is_open, "{called}");
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let keys: Vec<&Value> = parameters
            .filter(|one| one["name"] == "X-API-Key")
            .collect();
        assert_eq!(keys.len(), usize::from(!is_open), "{called}");
        assert!(
            keys.iter()
                .all(|key| key["in"] == "header" && key["required"] == false)
        );
    }
}

#[test]
fn every_body_and_every_answer_has_an_example() {
    for (called, operation) in operations() {
        // The document itself is the only answer that no example can do justice.
        if called == "get /openapi.json" {
            continue;
        }
        let mut parts = operation["responses"].as_object().unwrap().clone();
        parts.insert("body".to_owned(), operation["requestBody"].clone());
        for (part, described) in parts {
            for (kind, content) in described["content"].as_object().into_iter().flatten() {
                let is_shown = content["example"].is_null() != content["examples"].is_null();
                assert!(is_shown || !kind.contains("json"), "{part} of {called}");
            }
        }
    }
}

#[test]
fn operations_tell_the_errors_that_are_their_own() {
    let operations = operations();
    for (called, status, codes) in [
        (
            "post /v1/webhooks/endpoints",
            "409",
            &["too_many_endpoints"][..],
        ),
        ("post /v1/webhooks/endpoints", "400", &["body_unreadable"]),
        (
            "post /v1/auth/token",
            "503",
            &["too_many_logins", "unavailable"],
        ),
        (
            "post /v1/auth/token",
            "400",
            &["body_unreadable", "invalid_scope"],
        ),
        (
            "post /v1/webhooks/deliveries/{delivery_id}/cancel",
            "413",
            &["body_too_large"],
        ),
        (
            "post /v1/webhooks/endpoints/{endpoint_id}/verify",
            "408",
            &["body_too_slow"],
        ),
        (
            "post /v1/webhooks/endpoints/{endpoint_id}/verify",
            "429",
            &["rate_limited", "too_many_waiting"],
        ),
        (
            "post /v1/webhooks/events",
            "400",
            &["bad_idempotency_key", "body_unreadable"],
        ),
        (
            "post /v1/webhooks/events/batch",
            "413",
            &["body_too_large", "too_many_deliveries"],
        ),
        (
            "post /v1/webhooks/deliveries/{delivery_id}/replay",
            "409",
            &["delivery_not_finished", "endpoint_disabled"],
        ),
    ] {
        let (_, operation) = operations.iter().find(|(one, _)| one == called).unwrap();
        let examples = &operation["responses"][status]["content"]["application/json"]["examples"];
        let told: Vec<&String> = examples.as_object().unwrap().keys().collect();
        assert_eq!(told, codes, "{status} of {called}");
    }
}

#[test]
fn bounds_are_in_the_schemas() {
    let document = document().unwrap();
    for (field, bounds) in [
        (
            "EndpointBody/timeout_seconds",
            json!({"minimum": 1, "maximum": 60}),
        ),
        (
            "EndpointPatchBody/max_retries",
            json!({"minimum": 0, "maximum": 50}),
        ),
        (
            "EndpointBody/rate_limit_per_second",
            json!({"minimum": 1, "maximum": 10_000}),
        ),
        (
            "EndpointPatchBody/max_in_flight",
            json!({"minimum": 1, "maximum": 1_000}),
        ),
        (
            "RotationBody/overlap_seconds",
            json!({"minimum": 0, "maximum": 604_800}),
        ),
        (
            "EndpointBody/event_patterns",
            json!({"minItems": 1, "maxItems": 100}),
        ),
        ("EndpointBody/headers", json!({"maxProperties": 32})),
        (
            "SignatureBody/scheme",
            json!({"enum": ["standard", "timestamped", "body"]}),
        ),
        (
            "SignatureBody/algorithm",
            json!({"enum": ["hmac-sha256", "ed25519"]}),
        ),
    ] {
        let place = format!(
            "/components/schemas/{}/anyOf/0",
            field.replace('/', "/properties/")
        );
        let schema = document.pointer(&place).unwrap();
        for (bound, value) in bounds.as_object().unwrap() {
            assert_eq!(&schema[bound], value, "{bound} of {field}");
        }
    }
}

#[test]
fn the_replay_operation_is_as_in_a() {
    let operations = operations();
    let called = "post /v1/webhooks/deliveries/{delivery_id}/replay";
    let (_, operation) = operations.iter().find(|(one, _)| one == called).unwrap();
    assert_eq!(operation["summary"], "Replay Webhook Delivery");
    let answer = &operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(answer, "#/components/schemas/WebhookDeliveryResponse");
    let fault = &operation["responses"]["422"]["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(fault, "#/components/schemas/HTTPValidationError");
    let schemes = operation["security"].as_array().unwrap();
    assert!(
        schemes
            .iter()
            .any(|one| !one["OAuth2PasswordBearer"].is_null())
    );
}

/// The document as it was last reviewed.
const REVIEWED: &str = include_str!("../../openapi.json");

#[test]
fn the_document_is_the_reviewed_one() {
    let reviewed: Value = serde_json::from_str(REVIEWED).unwrap();
    assert!(
        document().unwrap() == reviewed,
        "the API has changed: look at the difference that `make openapi` makes, and commit it"
    );
}
