//! The examples of the OpenAPI document: each is sent, and what is answered looks as its example.

use reprise_testkit::fixture;
use reprise_testkit::http::{Client, Content, Response};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::document::{Operation, operations};
use crate::played_dispatcher::{Played, PlayedDispatcher};
use crate::stage::{Stage, URL, text};

/// Objects whose names are the tenant's or the receiver's own.
const FREE: [&str; 4] = ["headers", "request_headers", "response_headers", "payload"];

/// Makes what the path of an operation can name: each operation gets its own, since some end what they are for.
async fn make_ids(
    stage: &Stage,
    dispatcher: &mut PlayedDispatcher,
    operation: &Operation,
) -> Vec<(&'static str, String)> {
    let kind = text(&operation.described["operationId"]);
    let patterns = json!({"event_patterns": [kind], "description": "x"});
    let endpoint = fixture::create_endpoint(&stage.client, URL, patterns).await;
    let body = json!({"event_type": kind, "event_group": "x", "payload": {}});
    let event = stage.client.post("/v1/webhooks/events", &body).await.json();
    let delivery = fixture::deliveries_of(&stage.client, &text(&event["id"]))
        .await
        .remove(0);
    // What has been sent can't be canceled.
    if kind != "cancel_delivery" {
        for claim in dispatcher.claim_ready(100).await {
            dispatcher.finish(&claim, Played::Answered(200)).await;
        }
    }
    let key = stage
        .client
        .post("/v1/auth/api-keys", &json!({"name": kind}))
        .await
        .json();
    vec![
        ("endpoint_id", text(&endpoint["id"])),
        ("hook_id", text(&endpoint["id"])),
        ("event_id", text(&event["id"])),
        ("delivery_id", text(&delivery["id"])),
        ("request_id", text(&delivery["id"])),
        ("api_key_id", text(&key["id"])),
    ]
}

/// The example of a body, with the tenant's own name and password in it where it has such.
fn example_body(stage: &Stage, operation: &Operation) -> Option<Content> {
    let contents = operation.described["requestBody"]["content"].as_object()?;
    let (kind, content) = contents.iter().next().expect("a body has a type");
    let example = &content["example"];
    if kind == "application/json" {
        return Some(Content::json(example));
    }
    let fields = example.as_object().expect("a form");
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| match name.as_str() {
            "username" => ("username", stage.tenant.username.as_str()),
            "password" => ("password", stage.tenant.password.as_str()),
            name => (name, value.as_str().expect("a text")),
        })
        .collect();
    Some(Content::form(&fields))
}

async fn send(client: &Client, stage: &Stage, operation: &Operation, path: &str) -> Response {
    let body = example_body(stage, operation);
    client.send(operation.method.clone(), path, body).await
}

/// The success that the document promises: its status, and its example if it is JSON.
fn promised(operation: &Operation) -> (u16, Option<&Value>) {
    let responses = operation.described["responses"]
        .as_object()
        .expect("responses");
    let (status, response) = responses
        .iter()
        .next()
        .expect("the smallest status is the success");
    let content = &response["content"]["application/json"];
    (status.parse().expect("a status"), content.get("example"))
}

/// Where an answer does not look as its example: other names, other types, an instant that is none.
fn differences(at: &str, example: &Value, answer: &Value) -> Vec<String> {
    let kind_of = |value: &Value| std::mem::discriminant(value);
    match (example, answer) {
        // What may be null in the one may be something in the other.
        (Value::Null, _) | (_, Value::Null) => Vec::new(),
        (Value::Object(example), Value::Object(answer)) => {
            let is_free = FREE.iter().any(|name| at.ends_with(name));
            if !is_free && !example.keys().eq(answer.keys()) {
                return vec![format!("{at} has {:?}", answer.keys())];
            }
            let both = example
                .iter()
                .filter_map(|(name, one)| Some((name, one, answer.get(name)?)));
            both.flat_map(|(name, one, other)| differences(&format!("{at}.{name}"), one, other))
                .collect()
        }
        (Value::Array(example), Value::Array(answer)) => match (example.first(), answer.first()) {
            (Some(one), Some(other)) => differences(&format!("{at}[]"), one, other),
            (Some(_), None) => vec![format!("{at} is empty")],
            (None, _) => Vec::new(),
        },
        (Value::String(example), Value::String(answer)) => {
            let same_kind =
                is_instant(example) == is_instant(answer) && is_uuid(example) == is_uuid(answer);
            let same_length = !is_instant(example) || example.len() == answer.len();
            let differs = !same_kind || !same_length;
            differs
                .then(|| format!("{at} is {answer}"))
                .into_iter()
                .collect()
        }
        (one, other) if kind_of(one) != kind_of(other) => vec![format!("{at} is {other}")],
        _ => Vec::new(),
    }
}

fn is_instant(text: &str) -> bool {
    OffsetDateTime::parse(text, &Rfc3339).is_ok()
}

fn is_uuid(text: &str) -> bool {
    text.parse::<uuid::Uuid>().is_ok()
}

#[tokio::test]
async fn every_example_works_and_is_answered_as_its_example_says() {
    let stage = Stage::start().await;
    let mut dispatcher = stage.dispatcher().await;
    // No dispatcher sends what verifying and redelivering would wait for.
    let client = stage.client.header("Prefer", "wait=0");
    let mut compared = 0;
    for operation in operations(&client).await {
        let ids = make_ids(&stage, &mut dispatcher, &operation).await;
        let ids: Vec<(&str, &str)> = ids.iter().map(|(name, id)| (*name, id.as_str())).collect();
        let answer = send(&client, &stage, &operation, &operation.fill(&ids)).await;
        let called = operation.called();
        let (status, example) = promised(&operation);
        assert_eq!(answer.status, status, "{called}: {}", answer.text());
        if let Some(example) = example {
            compared += 1;
            let differences = differences("answer", example, &answer.json());
            assert!(differences.is_empty(), "{called}: {differences:?}");
        }
    }
    assert!(compared > 25, "{compared} answers have examples");
}
