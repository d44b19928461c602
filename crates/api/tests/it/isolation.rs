//! Tenants can't tell each other's ids from ids that nobody has.

use reprise_core::delivery::DeliveryStatus;
use reprise_testkit::http::{Client, Content, Method, Response};
use serde_json::{Value, json};

use crate::document::operations;
use crate::played_dispatcher::Played;
use crate::stage::{Stage, UNKNOWN_ID, text};

/// Ids of a path that are all answered alike.
const MALFORMED: [&str; 8] = [
    "x",
    "00000000-0000-0000-0000-000000000000",
    "0190a0b0c0d07e0f8a0b0c0d0e0f0a0b",
    "%7B0190a0b0-c0d0-7e0f-8a0b-0c0d0e0f0a0b%7D",
    "%00",
    "%FF%FE",
    "..%2F..%2Fetc",
    "'%20OR%201=1--",
];

async fn call(client: &Client, method: &Method, path: &str) -> Response {
    let content =
        (*method != Method::GET && *method != Method::DELETE).then(|| Content::json(&json!({})));
    client.send(method.clone(), path, content).await
}

/// Everything of an answer but what is new each time.
fn visible(answer: &Response) -> (u16, String, Vec<(String, String)>) {
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "date" && *name != "x-request-id")
        .map(|(name, value)| (name.to_string(), format!("{value:?}")))
        .collect();
    (answer.status, answer.text(), headers)
}

#[tokio::test]
async fn foreign_unknown_and_malformed_ids_get_the_same_404_on_every_route() {
    let stage = Stage::start().await;
    let stranger = stage.stranger().await;
    let endpoint = stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let delivery = stage
        .attempted(&mut dispatcher, Played::AnsweredAtLast(500))
        .await;
    let event = text(&stage.delivery(&delivery).await["event_id"]);

    let keys = stage.client.get("/v1/auth/api-keys").await.json();
    let api_key = text(&keys["items"][0]["id"]);

    for operation in operations(&stage.client).await {
        let (method, path) = (&operation.method, &operation.path);
        if !path.contains('{') {
            continue;
        }
        let unknown = call(&stranger, method, &operation.fill_all(UNKNOWN_ID)).await;
        assert_eq!(unknown.status, 404, "{method} {path}: {}", unknown.text());
        let foreign = [
            ("endpoint_id", endpoint.as_str()),
            ("delivery_id", &delivery),
            ("hook_id", &endpoint),
            ("request_id", &delivery),
            ("event_id", &event),
            ("api_key_id", &api_key),
        ];
        let answer = call(&stranger, method, &operation.fill(&foreign)).await;
        assert_eq!(
            visible(&answer),
            visible(&unknown),
            "{method} {path} with a foreign id"
        );
        for malformed in MALFORMED {
            let answer = call(&stranger, method, &operation.fill_all(malformed)).await;
            assert_eq!(
                visible(&answer),
                visible(&unknown),
                "{method} {path} with {malformed}"
            );
        }
    }
    assert_eq!(
        stage.delivery(&delivery).await["status"],
        "failed",
        "nothing was done"
    );
}

/// Every list that needs no id of a path, with every way to filter it: each way may be a statement of its own.
fn lists(endpoint: &str, delivery: &str) -> Vec<String> {
    let mut paths = vec![
        "/v1/webhooks/endpoints".to_owned(),
        "/hooks".to_owned(),
        "/v1/webhooks/events".to_owned(),
        "/v1/webhooks/events?event_type=invoice.paid".to_owned(),
        "/v1/webhooks/events?event_group=g".to_owned(),
        "/v1/webhooks/events?created_after=2020-01-01T00:00:00Z".to_owned(),
    ];
    let mut filters = vec![
        String::new(),
        format!("endpoint_id={endpoint}"),
        format!("replay_of={delivery}"),
        "event_type=invoice.paid".to_owned(),
        "event_group=g".to_owned(),
        "http_status=500".to_owned(),
        "created_after=2020-01-01T00:00:00Z".to_owned(),
    ];
    for status in DeliveryStatus::ALL {
        filters.push(format!("status={status}"));
        filters.push(format!("status={status}&endpoint_id={endpoint}"));
    }
    paths.extend(
        filters
            .iter()
            .map(|filter| format!("/v1/webhooks/deliveries?{filter}")),
    );
    paths
}

/// What a list shows.
fn items(page: &Value) -> &[Value] {
    let items = if page.is_array() {
        page
    } else {
        &page["items"]
    };
    items.as_array().expect("a list")
}

#[tokio::test]
async fn lists_and_filters_show_nothing_of_another_tenant() {
    let stage = Stage::start().await;
    let stranger = stage.stranger().await;
    let endpoint = stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    // One in each state that a delivery can rest in.
    let failed = stage
        .attempted(&mut dispatcher, Played::AnsweredAtLast(500))
        .await;
    stage
        .attempted(&mut dispatcher, Played::Answered(200))
        .await;
    stage
        .attempted(&mut dispatcher, Played::Answered(500))
        .await;
    let canceled = stage.deliver("invoice.paid").await;
    let cancel = format!("/v1/webhooks/deliveries/{canceled}/cancel");
    let _ = stage.client.post_empty(&cancel).await.expect_status(200);
    let replay = stage.replay(&failed).await;
    assert!(replay.status < 300, "{}", replay.text());
    let grouped = json!({"event_type": "invoice.paid", "event_group": "g", "payload": 1});
    let published = stage.client.post("/v1/webhooks/events", &grouped).await;
    let _ = published.expect_status(202);

    let mut shown = 0;
    for path in lists(&endpoint, &failed) {
        let own = stage.client.get(&path).await.expect_status(200).json();
        shown += usize::from(!items(&own).is_empty());
        let foreign = stranger.get(&path).await.expect_status(200).json();
        assert_eq!(items(&foreign), &[] as &[Value], "{path}");
        assert_eq!(
            foreign.get("next_cursor").unwrap_or(&Value::Null),
            &Value::Null,
            "{path}"
        );
    }
    // `delivering` and `skipped` have none, each alone and at the endpoint.
    assert_eq!(
        shown,
        lists(&endpoint, &failed).len() - 4,
        "the owner sees them"
    );
}

#[tokio::test]
async fn api_keys_are_listed_to_their_own_tenant_only() {
    let stage = Stage::start().await;
    let stranger = stage.stranger().await;
    let keys = async |client: &Client| {
        let page = client
            .get("/v1/auth/api-keys")
            .await
            .expect_status(200)
            .json();
        let ids = items(&page).iter().map(|key| text(&key["id"]));
        ids.collect::<Vec<_>>()
    };
    let (own, foreign) = (keys(&stage.client).await, keys(&stranger).await);
    assert_eq!((own.len(), foreign.len()), (1, 1));
    assert_ne!(own, foreign);
}

#[tokio::test]
async fn an_event_reaches_its_own_tenants_endpoints_only() {
    let stage = Stage::start().await;
    let stranger = stage.stranger().await;
    stage.endpoint(json!({})).await;
    let event = json!({"event_type": "a", "payload": 1});
    let published = stranger.post("/v1/webhooks/events", &event).await;
    let published = published.expect_status(202).json();
    assert_eq!(published["deliveries"], 0, "the endpoint is another's");
}
