//! Answers that show a secret tell caches not to keep them.

use serde_json::json;

use crate::stage::{Stage, URL, text};

#[tokio::test]
async fn answers_that_show_a_secret_are_for_no_cache() {
    let stage = Stage::start().await;
    let endpoints = "/v1/webhooks/endpoints";
    let made = stage.client.post(endpoints, &json!({"url": URL})).await;
    let id = text(&made.json()["id"]);
    let rotate = format!("{endpoints}/{id}/rotate-secret");
    let hook = json!({"url": URL, "events": ["a"]});
    let answers = [
        (made, 201, "secret"),
        (stage.client.post_empty(&rotate).await, 200, "secret"),
        (stage.client.post("/hooks", &hook).await, 201, "config"),
        (
            stage
                .client
                .post("/v1/auth/api-keys", &json!({"name": "x"}))
                .await,
            201,
            "api_key",
        ),
    ];
    for (answer, status, shows) in answers {
        let answer = answer.expect_status(status);
        assert!(!answer.json()[shows].is_null(), "{shows}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{shows}");
    }
}
