//! Heads and framing that break HTTP's rules. What the application gets to see it answers as everything else; what is
//! no request at all, or has too long a head, is refused below it, as README's limits say.

use serde_json::json;

use crate::socket::{exchange, request};
use crate::stage::Stage;

const PUBLISH: &str = "POST /v1/webhooks/events";
const LIST: &str = "GET /v1/webhooks/deliveries";
const EVENT: &str = r#"{"event_type":"a","payload":1}"#;
/// Headers of a request at most: what it has besides those of the test.
const OTHER_HEADERS: usize = 3;

async fn published(stage: &Stage) -> serde_json::Value {
    stage.client.get("/v1/webhooks/events").await.json()["items"].clone()
}

#[tokio::test]
async fn broken_body_is_answered_by_the_application_and_stores_nothing() {
    let stage = Stage::start().await;
    let extension = "x".repeat(200_000);
    for (headers, body, status) in [
        ("Content-Length: 100", EVENT.to_owned(), 400),
        (
            "Transfer-Encoding: chunked",
            "zz\r\n{}\r\n0\r\n\r\n".to_owned(),
            400,
        ),
        (
            "Transfer-Encoding: chunked",
            format!("1e\r\n{EVENT}\r\n"),
            400,
        ),
        (
            "Transfer-Encoding: chunked",
            format!("2;{extension}\r\n{{}}\r\n0\r\n\r\n"),
            422,
        ),
        (
            "Content-Length: 30\r\nContent-Encoding: gzip",
            EVENT.to_owned(),
            415,
        ),
        (
            "Content-Length: 30\r\nContent-Type: text/plain",
            EVENT.to_owned(),
            415,
        ),
    ] {
        let request = request(&stage, PUBLISH, &format!("{headers}\r\n"), body.as_bytes());
        let answer = exchange(&stage, &request).await;
        assert_eq!(answer.status, status, "{headers}: {answer:?}");
        assert!(answer.is_the_applications(), "{headers}: {answer:?}");
    }
    assert_eq!(published(&stage).await, json!([]));
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_400_and_nothing_else() {
    let stage = Stage::start().await;
    for (line, headers) in [
        (PUBLISH, "Content-Length: -1\r\n"),
        (PUBLISH, "Content-Length: 2\r\nContent-Length: 3\r\n"),
        (
            PUBLISH,
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        ),
        (PUBLISH, "Transfer-Encoding: gzip\r\n"),
        (LIST, "a header without a colon\r\n"),
        ("GET", ""),
        ("GET /\0", ""),
        ("\u{ff} /", ""),
    ] {
        let request = request(&stage, line, headers, EVENT.as_bytes());
        let answer = exchange(&stage, &request).await;
        assert_eq!(answer.status, 400, "{line} {headers}: {answer:?}");
        assert!(!answer.is_the_applications(), "{line} {headers}");
        assert_eq!(answer.body, "", "{line} {headers}");
    }
    assert_eq!(published(&stage).await, json!([]));
}

#[tokio::test]
async fn heads_as_long_as_readme_says_are_answered_and_longer_ones_refused() {
    let stage = Stage::start().await;
    let target = |bytes: usize| {
        let path = "/v1/webhooks/deliveries?";
        format!("GET {path}{}", "x".repeat(bytes - path.len()))
    };
    let headers = |count: usize| "A: b\r\n".repeat(count - OTHER_HEADERS);
    let parameters = format!("{LIST}?{}", "a=1&".repeat(10_000));
    for (line, headers, status) in [
        (parameters, String::new(), 200),
        (target(65_534), String::new(), 200),
        (target(65_535), String::new(), 400),
        (LIST.to_owned(), headers(96), 200),
        (LIST.to_owned(), headers(97), 431),
        (
            LIST.to_owned(),
            format!("A: {}\r\n", "b".repeat(120_000)),
            200,
        ),
        (
            LIST.to_owned(),
            format!("A: {}\r\n", "b".repeat(131_072)),
            431,
        ),
    ] {
        let what = format!("{} + {} bytes", line.len(), headers.len());
        let answer = exchange(&stage, &request(&stage, &line, &headers, b"")).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_eq!(answer.is_the_applications(), status == 200, "{what}");
    }
}
