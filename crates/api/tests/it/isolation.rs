//! Tenants can't tell each other's ids from ids that nobody has.

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

#[tokio::test]
async fn lists_and_filters_show_nothing_of_another_tenant() {
    let stage = Stage::start().await;
    let stranger = stage.stranger().await;
    let endpoint = stage.endpoint(json!({})).await;
    let delivery = stage.deliver("invoice.paid").await;
    assert_eq!(
        stranger.get("/v1/webhooks/endpoints").await.json(),
        json!([])
    );
    let nothing = json!({"items": [], "next_cursor": Value::Null});
    for query in [
        String::new(),
        format!("?endpoint_id={endpoint}"),
        format!("?replay_of={delivery}"),
        "?event_type=invoice.paid".to_owned(),
    ] {
        let path = format!("/v1/webhooks/deliveries{query}");
        assert_eq!(stranger.get(&path).await.json(), nothing, "{query}");
    }
    let published = stranger
        .post(
            "/v1/webhooks/events",
            &json!({"event_type": "a", "payload": 1}),
        )
        .await
        .expect_status(202);
    assert_eq!(
        published.json()["deliveries"],
        0,
        "the endpoint is another's"
    );
}
