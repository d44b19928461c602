//! Every list of the API has pages of the same lengths.

use reprise_testkit::fixture;
use reprise_testkit::http::Response;
use serde_json::{Value, json};

use crate::document::{Operation, operations};
use crate::stage::{Stage, URL, text};

/// One more than a page has by default.
const MANY: usize = 51;

/// Makes more than a page of everything, and returns the ids of an endpoint and an event that have more than a page.
async fn fill(stage: &Stage) -> [(&'static str, String); 2] {
    let mut endpoint = String::new();
    for n in 0..MANY {
        let patterns = if n == 0 {
            json!(["*"])
        } else {
            json!(["wide"])
        };
        let made =
            fixture::create_endpoint(&stage.client, URL, json!({"event_patterns": patterns})).await;
        if n == 0 {
            endpoint = text(&made["id"]);
        }
        let key = stage
            .client
            .post("/v1/auth/api-keys", &json!({"name": "x"}))
            .await;
        assert_eq!(key.status, 201, "{}", key.text());
    }
    let narrow = vec![json!({"event_type": "narrow", "payload": 1}); MANY];
    let batch = stage
        .client
        .post("/v1/webhooks/events/batch", &json!(narrow))
        .await;
    assert_eq!(batch.status, 202, "{}", batch.text());
    let wide = stage.publish("wide").await;
    [("hook_id", endpoint), ("event_id", wide)]
}

fn length(answer: Response) -> usize {
    let body = answer.expect_status(200).json();
    let items = body.get("items").unwrap_or(&body);
    items.as_array().map_or(0, Vec::len)
}

fn is_list(operation: &Operation) -> bool {
    let parameters = operation.described["parameters"]
        .as_array()
        .into_iter()
        .flatten();
    parameters
        .filter(|one: &&Value| one["name"] == "limit")
        .count()
        == 1
}

#[tokio::test]
async fn every_list_has_fifty_items_unless_another_number_is_asked_for() {
    let stage = Stage::start().await;
    let ids = fill(&stage).await;
    let ids: Vec<(&str, &str)> = ids.iter().map(|(name, id)| (*name, id.as_str())).collect();
    let mut lists = 0;
    for operation in operations(&stage.client).await {
        if !is_list(&operation) {
            continue;
        }
        lists += 1;
        let path = operation.fill(&ids);
        assert_eq!(length(stage.client.get(&path).await), 50, "{path}");
        for (asked, least) in [(1, 1), (49, 49), (250, MANY)] {
            let page = length(stage.client.get(&format!("{path}?limit={asked}")).await);
            assert!((least..=asked).contains(&page), "{path}: {page} of {asked}");
        }
    }
    assert_eq!(lists, 7, "a list that is new needs more than a page here");
}
