//! `/v1/auth/api-keys`: keys made, listed and revoked over HTTP.

use reprise_testkit::http::Client;
use serde_json::{Value, json};

use crate::stage::{Stage, code, faults, text};

const KEYS: &str = "/v1/auth/api-keys";
const ENDPOINTS: &str = "/v1/webhooks/endpoints";

async fn make(client: &Client, body: Value) -> Value {
    client.post(KEYS, &body).await.expect_status(201).json()
}

fn with_key(stage: &Stage, key: &Value) -> Client {
    let text = text(&key["api_key"]);
    stage.api.anonymous().header("X-API-Key", &text)
}

async fn list(client: &Client) -> Vec<Value> {
    let page = client.get(KEYS).await.expect_status(200).json();
    assert_eq!(page["next_cursor"], Value::Null);
    page["items"].as_array().expect("items").clone()
}

#[tokio::test]
async fn key_is_shown_once_opens_what_its_scopes_say_and_nothing_when_revoked() {
    let stage = Stage::start().await;
    let body = json!({"name": "reader", "scopes": ["webhooks:read"], "expires_at": "2999-01-01T00:00:00Z"});
    let key = make(&stage.client, body).await;
    assert_eq!(key["name"], "reader");
    assert_eq!(key["scopes"], json!(["webhooks:read"]));
    assert_eq!(key["expires_at"], "2999-01-01T00:00:00.000000Z");
    assert_eq!(key["last_used_at"], Value::Null);
    assert!(text(&key["api_key"]).starts_with(&text(&key["prefix"])));

    let reader = with_key(&stage, &key);
    let _ = reader.get(ENDPOINTS).await.expect_status(200);
    assert_eq!(
        code(reader.post(ENDPOINTS, &json!({})).await, 403),
        "insufficient_scope"
    );

    let listed = list(&stage.client).await;
    assert_eq!(listed.len(), 2, "the tenant's first key too");
    assert_eq!(listed[0]["id"], key["id"], "newest first");
    assert!(listed[0]["last_used_at"].is_string());
    let shown = json!(listed).to_string();
    assert!(!shown.contains(&text(&key["api_key"])), "{shown}");

    let path = format!("{KEYS}/{}", text(&key["id"]));
    let revoked = stage.client.delete(&path).await.expect_status(204);
    assert_eq!(revoked.text(), "");
    assert_eq!(code(reader.get(ENDPOINTS).await, 401), "not_authenticated");
    assert_eq!(code(stage.client.delete(&path).await, 404), "not_found");
    assert_eq!(list(&stage.client).await.len(), 1);
}

#[tokio::test]
async fn nobody_makes_a_key_that_may_do_more_than_they_may() {
    let stage = Stage::start().await;
    let token = stage.token("admin webhooks:read").await;
    let admin = stage.api.anonymous().bearer(&token);
    let more = json!({"name": "more", "scopes": ["webhooks:read", "webhooks:write"]});
    assert_eq!(
        code(admin.post(KEYS, &more).await, 403),
        "insufficient_scope"
    );
    let same = make(&admin, json!({"name": "same"})).await;
    assert_eq!(same["scopes"], json!(["webhooks:read", "admin"]));
}

#[tokio::test]
async fn keys_need_the_scope_admin() {
    let stage = Stage::start().await;
    let token = stage
        .token("events:write webhooks:read webhooks:write")
        .await;
    let client = stage.api.anonymous().bearer(&token);
    let path = format!("{KEYS}/{}", text(&list(&stage.client).await[0]["id"]));
    for answer in [
        client.get(KEYS).await,
        client.post(KEYS, &json!({"name": "x"})).await,
        client.delete(&path).await,
    ] {
        let challenge = "Bearer error=\"insufficient_scope\", scope=\"admin\"";
        assert_eq!(answer.header("www-authenticate"), Some(challenge));
        assert_eq!(code(answer, 403), "insufficient_scope");
    }
}

#[tokio::test]
async fn faults_of_a_new_key_are_told_all_at_once() {
    let stage = Stage::start().await;
    let body = json!({
        "name": "a\u{0}b", "scopes": ["webhooks:read", "root", 7],
        "expires_at": "2001-01-01T00:00:00Z", "user_id": 1,
    });
    assert_eq!(
        faults(stage.client.post(KEYS, &body).await),
        [
            "body.expires_at: value_error",
            "body.name: value_error",
            "body.scopes.1: enum",
            "body.scopes.2: enum",
            "body.user_id: extra_forbidden",
        ]
    );
    for (expires_at, kind) in [
        (json!("10000-01-01T00:00:00Z"), "datetime_parsing"),
        (json!("tomorrow"), "datetime_parsing"),
        (json!(7), "string_type"),
    ] {
        let body = json!({"name": "x", "scopes": [], "expires_at": expires_at});
        assert_eq!(
            faults(stage.client.post(KEYS, &body).await),
            [
                format!("body.expires_at: {kind}"),
                "body.scopes: too_short".to_owned()
            ]
        );
    }
    assert_eq!(list(&stage.client).await.len(), 1, "nothing was made");
}

#[tokio::test]
async fn list_of_keys_comes_in_pages() {
    let stage = Stage::start().await;
    for name in ["one", "two"] {
        make(&stage.client, json!({"name": name})).await;
    }
    let mut names = Vec::new();
    let mut path = format!("{KEYS}?limit=2");
    loop {
        let page = stage.client.get(&path).await.expect_status(200).json();
        let items = page["items"].as_array().expect("items");
        names.extend(items.iter().map(|key| text(&key["name"])));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("{KEYS}?limit=2&cursor={cursor}");
    }
    assert_eq!(names, ["two", "one", "first"]);
}

#[tokio::test]
async fn a_user_has_a_hundred_keys_and_no_more() {
    let stage = Stage::start().await;
    let one = json!({"name": "one"});
    // The stage's own is the first.
    for _ in 1..100 {
        make(&stage.client, one.clone()).await;
    }
    let refused = stage.client.post(KEYS, &one).await;
    assert_eq!(code(refused, 409), "too_many_api_keys");
}
