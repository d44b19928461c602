//! What `/metrics` tells: every metric is documented, and values move as they should.

use reprise_testkit::metrics::{documented, exposed, value};
use serde_json::json;

use crate::stage::Stage;

async fn scrape(stage: &Stage) -> String {
    let answer = stage.api.anonymous().get("/metrics").await;
    answer.expect_status(200).text()
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_one_is_there() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let text = scrape(&stage).await;
    assert_eq!(exposed(&text), documented("reprise-api"));
}

#[tokio::test]
async fn shared_commits_and_the_pool_are_counted() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let count = |text: &str, sample: &str| value(text, sample).expect("it is exposed");
    let before = scrape(&stage).await;
    assert_eq!(
        value(&before, "reprise_api_ingest_batch_size_count"),
        Some(0.0)
    );
    for _ in 0..3 {
        let body = json!({"event_type": "invoice.paid", "payload": {}});
        let answer = stage.client.post("/v1/webhooks/events", &body).await;
        let _ = answer.expect_status(202);
    }
    let after = scrape(&stage).await;
    for sample in [
        "reprise_api_ingest_batch_size_sum",
        "reprise_api_ingest_batch_size_count",
        "reprise_api_ingest_commit_seconds_count",
        "reprise_api_events_published_total",
    ] {
        assert_eq!(value(&after, sample), Some(3.0), "{sample}");
    }
    let gets = "reprise_api_pool_gets_total{got=\"at_once\"}";
    assert!(count(&after, gets) >= count(&before, gets) + 3.0);
    assert!(value(&after, "reprise_api_pool_connections") > Some(0.0));
}
