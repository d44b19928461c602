//! What needs no credentials besides logging in: the page, the document that it shows, and the metrics.

use reprise_testkit::http::Method;
use serde_json::json;

use crate::stage::{Stage, UNKNOWN_ID, code};

/// What the page's HTML loads or links to.
fn references(html: &str) -> Vec<String> {
    ["src=\"", "href=\""]
        .iter()
        .flat_map(|attribute| html.split(attribute).skip(1))
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn page_shows_the_document_and_loads_nothing_foreign() {
    let stage = Stage::start().await;
    let nobody = stage.api.anonymous();
    let redirect = nobody.get("/docs").await.expect_status(307);
    assert_eq!(redirect.header("location"), Some("/docs/"));
    let page = nobody.get("/docs/").await.expect_status(200);
    assert_eq!(page.header("content-type"), Some("text/html"));
    let references = references(&page.text());
    assert!(references.len() >= 4, "{references:?}");
    for reference in references {
        assert!(!reference.contains("//"), "{reference} is elsewhere");
        let path = format!("/docs/{}", reference.trim_start_matches("./"));
        let file = nobody.get(&path).await.expect_status(200);
        assert!(!file.body.is_empty(), "{path}");
    }
    let script = nobody.get("/docs/swagger-initializer.js").await.text();
    for setting in [r#""url": "/openapi.json""#, r#""validatorUrl": "none""#] {
        assert!(script.contains(setting), "{setting} in {script}");
    }
    assert!(!script.contains("://"), "{script}");
    let document = nobody.get("/openapi.json").await.expect_status(200).json();
    assert_eq!(document["openapi"], "3.1.0");
}

#[tokio::test]
async fn what_the_page_does_not_have_or_do_is_refused_as_everywhere() {
    let stage = Stage::start().await;
    let nobody = stage.api.anonymous();
    for path in ["/docs/nothing", "/docs/..%2Fx", "/docs/a/b"] {
        assert_eq!(code(nobody.get(path).await, 404), "not_found", "{path}");
    }
    for path in ["/docs", "/docs/", "/docs/swagger-ui.css", "/openapi.json"] {
        for method in [Method::POST, Method::DELETE] {
            let answer = nobody.send(method, path, None).await;
            assert_eq!(answer.header("allow"), Some("GET"), "{path}");
            assert_eq!(code(answer, 405), "method_not_allowed");
        }
    }
}

#[tokio::test]
async fn probes_may_ask_for_the_head_alone() {
    let stage = Stage::start().await;
    let nobody = stage.api.anonymous();
    for path in ["/healthz", "/readyz"] {
        let whole = nobody.get(path).await.expect_status(200);
        assert_eq!(whole.json()["status"], "ok");
        let head = nobody.send(Method::HEAD, path, None).await;
        let head = head.expect_status(200);
        assert_eq!(head.header("content-type"), whole.header("content-type"));
        assert_eq!(head.text(), "", "{path}");
        let refused = nobody.post_empty(path).await;
        assert_eq!(refused.header("allow"), Some("HEAD, GET"));
        assert_eq!(code(refused, 405), "method_not_allowed");
    }
}

#[tokio::test]
async fn metrics_count_events_and_requests_by_route() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    stage.deliver("invoice.paid").await;
    let nobody = stage.api.anonymous();
    for path in [
        format!("/v1/webhooks/deliveries/{UNKNOWN_ID}"),
        format!("/{UNKNOWN_ID}"),
    ] {
        assert_eq!(stage.client.get(&path).await.status, 404, "{path}");
    }
    let metrics = nobody.get("/metrics").await.expect_status(200);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(metrics.header("content-type"), Some(kind));
    let text = metrics.text();
    for line in [
        "reprise_api_events_published_total 1",
        "reprise_api_deliveries_created_total 1",
        r#"reprise_api_requests_total{method="POST",route="/v1/webhooks/events",status="202"} 1"#,
        r#"reprise_api_requests_total{method="GET",route="/v1/webhooks/deliveries/{delivery_id}",status="404"} 1"#,
        r#"reprise_api_requests_total{method="GET",route="unknown",status="404"} 1"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} in {text}");
    }
    assert!(!text.contains(UNKNOWN_ID), "ids are no labels");
}
