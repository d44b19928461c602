//! Requests that nobody well-meaning makes: each is answered, none with a 5xx, and always as JSON with a request id.

use crate::socket::{exchange, post, request};
use crate::stage::Stage;

/// What the application itself must answer: with this status, as JSON with a request id.
async fn answers(stage: &Stage, what: &str, request: &[u8], status: u16) {
    let answer = exchange(stage, request).await;
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert!(answer.is_the_applications(), "{what}: {answer:?}");
}

#[tokio::test]
async fn payloads_are_kept_or_refused_whatever_they_hold() {
    let stage = Stage::start().await;
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let digits = "9".repeat(5_000);
    for (payload, status) in [
        (r#""\u0000""#, 202),
        (r#""\ud800""#, 202),
        ("1e400", 202),
        (digits.as_str(), 202),
        (r#"{"a":1,"a":2}"#, 202),
        (&nested(127), 202),
        (&nested(128), 422),
        (&nested(100_000), 422),
        ("NaN", 422),
        ("\"\u{1}\"", 422),
    ] {
        let body = format!(r#"{{"event_type":"a","payload":{payload}}}"#);
        let request = post(&stage, "/v1/webhooks/events", body.as_bytes());
        answers(&stage, &payload[..payload.len().min(40)], &request, status).await;
    }
    for body in [
        &b"{\"event_type\":\"a\",\"payload\":\"\xff\"}"[..],
        b"\xef\xbb\xbf{\"event_type\":\"a\",\"payload\":1}",
        b"{\"event_type\":\"a\\u0000\",\"payload\":1}",
        b"{\"event_type\":\"\\ud800\",\"payload\":1}",
        b"{\"\\ud800\":1,\"event_type\":\"a\",\"payload\":1}",
        b"\0",
    ] {
        let request = post(&stage, "/v1/webhooks/events", body);
        answers(&stage, &String::from_utf8_lossy(body), &request, 422).await;
    }
}

#[tokio::test]
async fn odd_queries_paths_and_methods_are_the_clients_mistake() {
    let stage = Stage::start().await;
    let get = |path: &str| request(&stage, &format!("GET {path}"), "", b"");
    for query in [
        "event_type=%00",
        "endpoint_id=%00",
        "status=%0d%0a",
        "created_after=0000-01-01T00:00:00Z",
        "created_after=10000-01-01T00:00:00Z",
        "created_after=2020-02-30T00:00:00Z",
        "created_after=2020-01-01T00:00:00%2B24:00",
        "cursor=%00",
        "limit=%00",
        "limit=99999999999999999999999",
        "http_status=99999999999999999999",
        "replay_of=x",
    ] {
        let path = format!("/v1/webhooks/deliveries?{query}");
        answers(&stage, query, &get(&path), 422).await;
    }
    // What is no UTF-8 is read as U+FFFD, as browsers do, and is in no group; leap seconds are RFC 3339.
    for query in ["event_group=%FF", "created_after=9999-12-31T23:59:60Z"] {
        let path = format!("/v1/webhooks/deliveries?{query}");
        answers(&stage, query, &get(&path), 200).await;
    }
    for path in [
        "/v1/webhooks/deliveries/%00",
        "//v1/webhooks/deliveries",
        "/v1/../x",
        "/%ff",
        "/hooks/%0a/requests",
    ] {
        answers(&stage, path, &get(path), 404).await;
    }
    for method in ["OPTIONS", "TRACE", "FOO", "PROPFIND", "get"] {
        let line = format!("{method} /v1/webhooks/deliveries");
        let request = request(&stage, &line, "", b"");
        answers(&stage, method, &request, 405).await;
    }
}

#[tokio::test]
async fn odd_headers_and_credentials_are_the_clients_mistake() {
    let stage = Stage::start().await;
    let id = crate::stage::UNKNOWN_ID;
    let line = format!("POST /v1/webhooks/deliveries/{id}/replay");
    let long = "x".repeat(256);
    for (headers, status) in [
        ("Prefer: wait=-1\r\n", 404),
        ("Prefer: wait=999999999999999999999\r\n", 404),
        ("Prefer: \u{ff}\r\n", 404),
        ("X-Request-Id: \u{ff}\r\n", 404),
        ("Idempotency-Key: \r\n", 400),
        ("Idempotency-Key: \u{ff}\r\n", 400),
        (&format!("Idempotency-Key: {long}\r\n"), 400),
        (
            "Authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.\r\n",
            401,
        ),
        ("Authorization: Basic eDp5\r\n", 401),
        ("X-API-Key: another\r\n", 401),
    ] {
        let request = request(
            &stage,
            &line,
            &format!("{headers}Content-Length: 0\r\n"),
            b"",
        );
        answers(&stage, headers, &request, status).await;
    }
    for body in [
        r#"{"url":"https://a.example/\u0000"}"#,
        r#"{"url":"https://a.example","headers":{"A\r\nB":"c"}}"#,
        r#"{"url":"https://a.example","headers":{"A":"c\r\nX: y"}}"#,
        r#"{"url":"https://a.example","headers":{"A":"\ud800"}}"#,
        r#"{"url":"https://a.example","signature":{"scheme":"body","prefix":"a\r\nb"}}"#,
        r#"{"url":"https://a.example","max_in_flight":99999999999999999999999}"#,
    ] {
        answers(
            &stage,
            body,
            &post(&stage, "/v1/webhooks/endpoints", body.as_bytes()),
            422,
        )
        .await;
    }
}
