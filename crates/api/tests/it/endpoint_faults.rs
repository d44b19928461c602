//! What is wrong with an endpoint's body is told all at once, each fault where it is.

use reprise_testkit::http::{Content, Method};
use serde_json::json;

use crate::stage::{Stage, URL, faults};

const PATH: &str = "/v1/webhooks/endpoints";

fn path(id: &str) -> String {
    format!("{PATH}/{id}")
}

#[tokio::test]
async fn faults_of_an_endpoint_are_told_all_at_once() {
    let stage = Stage::start().await;
    let bad = json!({
        "description": 7, "event_patterns": ["ok", "not ok", 3], "timeout_seconds": 61, "max_retries": -1,
        "headers": {"Host": "x"}, "secret": "short", "retry_schedule": ["soon"], "enabled": true,
        "surprise": null, "max_in_flight": 0, "rate_limit_per_second": 10_001,
    });
    assert_eq!(
        faults(stage.client.post(PATH, &bad).await),
        [
            "body.description: string_type",
            "body.enabled: extra_forbidden",
            "body.event_patterns.1: value_error",
            "body.event_patterns.2: string_type",
            "body.headers.Host: value_error",
            "body.max_in_flight: greater_than_equal",
            "body.max_retries: greater_than_equal",
            "body.rate_limit_per_second: less_than_equal",
            "body.retry_schedule.0: int_parsing",
            "body.secret: value_error",
            "body.surprise: extra_forbidden",
            "body.timeout_seconds: less_than_equal",
            "body.url: missing",
        ]
    );
    assert_eq!(
        faults(stage.client.post(PATH, &json!({})).await),
        ["body.url: missing"]
    );
    let signature =
        json!({"url": URL, "signature": {"scheme": "md5", "algorithm": "rot13", "x": 1}});
    assert_eq!(
        faults(stage.client.post(PATH, &signature).await),
        [
            "body.signature.algorithm: enum",
            "body.signature.scheme: enum",
            "body.signature.x: extra_forbidden",
        ]
    );
}

#[tokio::test]
async fn faults_that_show_beside_another_field_are_told_too() {
    let stage = Stage::start().await;
    let clash =
        json!({"url": URL, "headers": {"x-signature": "mine"}, "signature": {"scheme": "body"}});
    assert_eq!(
        faults(stage.client.post(PATH, &clash).await),
        ["body.headers: value_error"]
    );
    let puzzling = json!({"signature": {"scheme": "md5"}, "secret": "free-text"});
    assert_eq!(
        faults(stage.client.post(PATH, &puzzling).await),
        ["body.signature.scheme: enum", "body.url: missing"],
        "a secret is not judged by a scheme that nobody knows"
    );
    let nul = json!({"url": URL, "description": "a\0b"});
    assert_eq!(
        faults(stage.client.post(PATH, &nul).await),
        ["body.description: value_error"]
    );
    for url in [json!(null), json!(7), json!(["https://a.example"])] {
        assert_eq!(
            faults(stage.client.post(PATH, &json!({"url": url})).await),
            ["body.url: string_type"]
        );
    }
}

#[tokio::test]
async fn each_header_is_told_its_own_fault() {
    let stage = Stage::start().await;
    let headers = json!({
        "Host": "x", "X A": "x", "X-Good": "x", "X-Line": "a\nb", "X-Number": 1, "X-Twice": "1", "x-twice": "2",
        "X-Long": "x".repeat(1_025),
    });
    assert_eq!(
        faults(
            stage
                .client
                .post(PATH, &json!({"url": URL, "headers": headers}))
                .await
        ),
        [
            "body.headers.Host: value_error",
            "body.headers.X A: value_error",
            "body.headers.X-Line: value_error",
            "body.headers.X-Long: value_error",
            "body.headers.X-Number: string_type",
            "body.headers.x-twice: value_error",
        ]
    );
    let value = "x".repeat(1_024);
    let heavy = json!({"A": value, "B": value, "C": value, "D": value});
    let many: serde_json::Map<_, _> = (0..33).map(|n| (format!("X-{n}"), json!("x"))).collect();
    for (headers, fault) in [
        (heavy, "body.headers: value_error"),
        (json!(many), "body.headers: too_long"),
    ] {
        let body = json!({"url": URL, "headers": headers});
        assert_eq!(faults(stage.client.post(PATH, &body).await), [fault]);
    }
}

#[tokio::test]
async fn each_part_of_a_signature_is_told_its_own_fault() {
    let stage = Stage::start().await;
    for (signature, expected) in [
        (
            json!({"scheme": "standard", "header": "X-A", "prefix": "v="}),
            &["header: value_error", "prefix: value_error"][..],
        ),
        (
            json!({"scheme": "timestamped", "prefix": "v=", "algorithm": "ed25519"}),
            &["algorithm: value_error", "prefix: value_error"],
        ),
        (
            json!({"scheme": 1, "header": "Host", "prefix": "a b", "algorithm": "md5"}),
            &[
                "algorithm: enum",
                "header: value_error",
                "prefix: value_error",
                "scheme: enum",
            ],
        ),
    ] {
        let body = json!({"url": URL, "signature": signature, "secret": "short"});
        let expected: Vec<String> = expected
            .iter()
            .map(|part| format!("body.signature.{part}"))
            .collect();
        assert_eq!(faults(stage.client.post(PATH, &body).await), expected);
        let id = stage.endpoint(json!({})).await;
        let change = json!({"signature": signature, "secret": "short"});
        assert_eq!(
            faults(stage.client.patch(&path(&id), &change).await),
            expected
        );
    }
}

#[tokio::test]
async fn faults_of_a_change_are_told_all_at_once_and_nothing_changes() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let before = stage.client.get(&path(&id)).await.json();
    let bad =
        json!({"url": null, "timeout_seconds": 0, "x": 1, "secret": "short", "description": "new"});
    let answer = stage.client.patch(&path(&id), &bad).await;
    assert_eq!(
        faults(answer),
        [
            "body.secret: value_error",
            "body.timeout_seconds: greater_than_equal",
            "body.url: string_type",
            "body.x: extra_forbidden"
        ]
    );
    assert_eq!(stage.client.get(&path(&id)).await.json(), before);
    let free = json!({"signature": {"scheme": "timestamped"}, "secret": "free-text"});
    let changed = stage.change_endpoint(&id, free).await;
    assert_eq!(changed["signature"]["scheme"], "timestamped");
    let back = stage
        .client
        .patch(&path(&id), &json!({"signature": null}))
        .await;
    assert_eq!(
        faults(back),
        ["body.secret: value_error"],
        "the free text is no whsec_ secret"
    );
}

/// Values that are odd in most places.
const ODD_VALUES: [&str; 24] = [
    "null",
    "true",
    "[]",
    "{}",
    "0",
    "-1",
    "1e400",
    "-1e400",
    "1e-400",
    "9223372036854775808",
    "5.5",
    "1e15",
    r#""""#,
    r#"" ""#,
    r#""\u0000""#,
    r#""\ud800""#,
    r#""\r\n""#,
    r#""é😀""#,
    r#"[null]"#,
    r#"[[[]]]"#,
    r#"[1e400]"#,
    r#"{"\u0000":"a"}"#,
    r#"{"\ud800":"a"}"#,
    r#"{"a":"b\r\nc"}"#,
];

#[tokio::test]
async fn odd_values_are_taken_or_refused_but_never_our_mistake() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    for field in [
        "url",
        "description",
        "event_patterns",
        "timeout_seconds",
        "max_retries",
        "headers",
        "secret",
        "signature",
        "retry_schedule",
        "enabled",
        "rate_limit_per_second",
        r"\u0000",
        r"\ud800",
    ] {
        for value in ODD_VALUES {
            let body = format!(r#"{{"{field}":{value}}}"#);
            let change = Content::new("application/json", body.clone());
            let answer = stage
                .client
                .send(Method::PATCH, &path(&id), Some(change))
                .await;
            assert!(
                [200, 422].contains(&answer.status),
                "{body}: {} {}",
                answer.status,
                answer.text()
            );
            let with_url = format!(r#"{{"url":"{URL}",{}"#, &body[1..]);
            let answer = stage
                .client
                .post_raw(PATH, "application/json", with_url)
                .await;
            assert!(
                [201, 422].contains(&answer.status),
                "{body}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
}

#[tokio::test]
async fn an_endpoint_has_a_hundred_patterns_and_no_more() {
    let stage = Stage::start().await;
    let post = async |count: usize| {
        let patterns: Vec<_> = (0..count).map(|n| format!("type.{n}")).collect();
        let body = json!({"url": URL, "event_patterns": patterns});
        stage.client.post("/v1/webhooks/endpoints", &body).await
    };
    let _ = post(100).await.expect_status(201);
    assert_eq!(faults(post(101).await), ["body.event_patterns: too_long"]);
}
