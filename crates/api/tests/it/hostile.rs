//! Requests that nobody well-meaning makes, byte by byte over sockets of our own: each is answered, none with a 5xx, and
//! what the application answers is JSON with a request id.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::Stage;

/// Longer than any answer takes on a busy machine, and shorter than the API waits for a body.
const PATIENCE: Duration = Duration::from_secs(20);
const EVENT: &str = r#"{"event_type":"a","payload":1}"#;

/// Sends bytes and returns the status and the head of the answer. The connection is closed for writing afterwards, so
/// that a server which waits for more learns that there is none.
async fn exchange(stage: &Stage, request: &[u8]) -> (u16, String) {
    let address = stage.api.url().replace("http://", "");
    let mut stream = TcpStream::connect(address).await.expect("connected");
    // The server may have heard enough before we have said everything.
    let _ = stream.write_all(request).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("it is answered");
    let answer = String::from_utf8_lossy(&answer);
    let (head, _) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    (status.unwrap_or(0), head.to_lowercase())
}

fn request(stage: &Stage, line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let key = &stage.tenant.api_key;
    let head = format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: {key}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn post(stage: &Stage, path: &str, body: &[u8]) -> Vec<u8> {
    let headers = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    request(stage, &format!("POST {path}"), &headers, body)
}

/// What the application itself must answer: with one of these statuses, as JSON with a request id.
async fn answers(stage: &Stage, what: &str, request: &[u8], expected: &[u16]) {
    let (status, head) = exchange(stage, request).await;
    assert!(expected.contains(&status), "{what}: {head}");
    assert!(head.contains("x-request-id: "), "{what}: {head}");
    assert!(
        head.contains("content-type: application/json"),
        "{what}: {head}"
    );
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
        answers(
            &stage,
            &payload[..payload.len().min(40)],
            &request,
            &[status],
        )
        .await;
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
        answers(&stage, &String::from_utf8_lossy(body), &request, &[422]).await;
    }
}

#[tokio::test]
async fn broken_framing_is_answered_and_stores_nothing() {
    let stage = Stage::start().await;
    let extension = "x".repeat(200_000);
    for (headers, body) in [
        ("Content-Length: 100\r\n", EVENT.to_owned()),
        ("Content-Length: -1\r\n", EVENT.to_owned()),
        (
            "Content-Length: 2\r\nContent-Length: 3\r\n",
            EVENT.to_owned(),
        ),
        (
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n".to_owned(),
        ),
        ("Transfer-Encoding: gzip\r\n", EVENT.to_owned()),
        (
            "Transfer-Encoding: chunked\r\n",
            "zz\r\n{}\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            format!("1e\r\n{EVENT}\r\n"),
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            format!("2;{extension}\r\n{{}}\r\n0\r\n\r\n"),
        ),
        (
            "Content-Length: 30\r\nContent-Encoding: gzip\r\n",
            EVENT.to_owned(),
        ),
        (
            "Content-Length: 30\r\nContent-Type: text/plain\r\n",
            EVENT.to_owned(),
        ),
    ] {
        let request = request(&stage, "POST /v1/webhooks/events", headers, body.as_bytes());
        let (status, head) = exchange(&stage, &request).await;
        // A request that breaks off may be left without an answer, as there is nobody to read it.
        assert!(
            status == 0 || (400..500).contains(&status),
            "{headers}: {head}"
        );
    }
    let events = stage.client.get("/v1/webhooks/events").await.json();
    assert_eq!(events["items"], serde_json::json!([]));
}

#[tokio::test]
async fn odd_queries_paths_and_methods_are_the_clients_mistake() {
    let stage = Stage::start().await;
    let many = (0..7_000)
        .map(|n| format!("a{n}=1"))
        .collect::<Vec<_>>()
        .join("&");
    let get = |path: &str| request(&stage, &format!("GET {path}"), "", b"");
    for query in [
        many.as_str(),
        "event_type=%00",
        "event_group=%FF",
        "endpoint_id=%00",
        "status=%0d%0a",
        "created_after=0000-01-01T00:00:00Z",
        "created_after=10000-01-01T00:00:00Z",
        "created_after=9999-12-31T23:59:60Z",
        "created_after=2020-02-30T00:00:00Z",
        "created_after=2020-01-01T00:00:00%2B24:00",
        "cursor=%00",
        "limit=%00",
        "limit=99999999999999999999999",
        "http_status=99999999999999999999",
        "replay_of=x",
    ] {
        let path = format!("/v1/webhooks/deliveries?{query}");
        answers(
            &stage,
            &query[..query.len().min(40)],
            &get(&path),
            &[200, 422],
        )
        .await;
    }
    for path in [
        "/v1/webhooks/deliveries/%00",
        "//v1/webhooks/deliveries",
        "/v1/../x",
        "/%ff",
        "/hooks/%0a/requests",
    ] {
        answers(&stage, path, &get(path), &[404]).await;
    }
    for method in ["OPTIONS", "TRACE", "FOO", "PROPFIND", "get"] {
        let request = request(
            &stage,
            &format!("{method} /v1/webhooks/deliveries"),
            "",
            b"",
        );
        answers(&stage, method, &request, &[405]).await;
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
        answers(&stage, headers, &request, &[status]).await;
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
            &[422],
        )
        .await;
    }
}
