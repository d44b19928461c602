//! Endpoints: made, shown, changed and deleted.

use reprise_testkit::fixture::create_endpoint;
use serde_json::{Value, json};

use crate::rows;
use crate::stage::{Stage, UNKNOWN_ID, URL, code, faults, text};

const PATH: &str = "/v1/webhooks/endpoints";
const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

fn path(id: &str) -> String {
    format!("{PATH}/{id}")
}

/// Takes out what differs from run to run, and checks that it is what it should be.
#[track_caller]
fn without_ids_and_times(mut endpoint: Value) -> Value {
    let fields = endpoint.as_object_mut().expect("an object");
    let id = text(&fields.remove("id").expect("an id"));
    assert!(
        id.parse::<uuid::Uuid>()
            .is_ok_and(|id| id.get_version_num() == 7)
    );
    for field in ["created_at", "updated_at"] {
        let instant = text(&fields.remove(field).expect("an instant"));
        assert!(instant.ends_with('Z') && instant.len() == 27, "{instant}");
    }
    assert!(fields.remove("user_id").is_some_and(|id| id.is_i64()));
    endpoint
}

#[tokio::test]
async fn new_endpoint_has_the_defaults_of_the_contract() {
    let stage = Stage::start().await;
    let mut made = create_endpoint(&stage.client, URL, json!({})).await;
    let secret = text(
        &made
            .as_object_mut()
            .expect("an object")
            .remove("secret")
            .expect("a secret"),
    );
    assert!(
        secret.starts_with("whsec_") && secret.len() == 6 + 44,
        "{secret}"
    );
    let hint = format!("whsec_…{}", &secret[secret.len() - 4..]);
    let expected = json!({
        "url": URL, "description": null, "event_patterns": ["*"], "timeout_seconds": 15, "max_retries": 7,
        "retry_schedule": [5, 300, 1800, 7200, 18000, 36000, 36000], "headers": {},
        "rate_limit_per_second": null, "max_in_flight": null,
        "signature": {
            "scheme": "standard", "header": "webhook-signature", "prefix": null, "algorithm": "hmac-sha256"
        },
        "secret_hint": hint, "public_key": null, "previous_secret_expires_at": null, "verified_at": null, "enabled": true, "status": "enabled", "disabled_reason": null,
        "failing_since": null,
            "circuit_opened_at": null, "last_success_at": null,
    });
    assert_eq!(made["user_id"], stage.tenant.user_id);
    assert_eq!(without_ids_and_times(made), expected);
}

#[tokio::test]
async fn secret_is_shown_when_it_is_made_and_never_again() {
    let stage = Stage::start().await;
    let made = create_endpoint(&stage.client, URL, json!({"secret": SECRET})).await;
    assert_eq!(made["secret"], SECRET);
    let id = text(&made["id"]);
    let own = text(&create_endpoint(&stage.client, URL, json!({})).await["secret"]);
    for answer in [
        stage.client.get(&path(&id)).await,
        stage.client.get(PATH).await,
        stage
            .client
            .patch(&path(&id), &json!({"secret": SECRET}))
            .await,
        stage.client.delete(&path(&id)).await,
    ] {
        let body = answer.expect_status(200).text();
        assert!(!body.contains("\"secret\""), "{body}");
        assert!(
            !body.contains(&SECRET[6..40]) && !body.contains(&own[6..40]),
            "{body}"
        );
    }
}

#[tokio::test]
async fn every_field_can_be_given_and_is_shown() {
    let stage = Stage::start().await;
    let given = json!({
        "description": "the books", "event_patterns": ["invoice.*", "a:b"], "timeout_seconds": 60,
        "max_retries": 50, "retry_schedule": [0, 604_800], "headers": {"X-Books": "yes"},
        "secret": "any visible text!".replace(' ', "-"),
        "signature": {"scheme": "body", "header": "X-Hub-Signature-256", "prefix": "sha256="},
    });
    let made = create_endpoint(&stage.client, URL, given.clone()).await;
    for (field, value) in given.as_object().expect("an object") {
        if field != "signature" {
            assert_eq!(&made[field], value, "{field}");
        }
    }
    assert_eq!(
        made["signature"],
        json!({"scheme": "body", "header": "X-Hub-Signature-256", "prefix": "sha256=", "algorithm": "hmac-sha256"})
    );
    let schedule = json!({"retry_schedule": "exponential"});
    let patient = create_endpoint(&stage.client, URL, schedule).await;
    assert_eq!(
        (&patient["retry_schedule"], &patient["max_retries"]),
        (&json!("exponential"), &json!(25))
    );
}

#[tokio::test]
async fn list_is_newest_first_and_its_links_lead_through_all() {
    let stage = Stage::start().await;
    let mut made = Vec::new();
    for n in 0..7 {
        made.push(stage.endpoint(json!({"description": n.to_string()})).await);
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut pages = Vec::new();
    let mut next = Some(format!("{PATH}?limit=3"));
    while let Some(path) = next {
        let page = stage.client.get(&path).await.expect_status(200);
        let items = page.json().as_array().expect("a bare array").clone();
        pages.push(items.len());
        seen.extend(items.iter().map(|one| text(&one["id"])));
        next = page.header("link").map(|link| {
            let (target, relation) = link.split_once('>').expect("a target in <>");
            assert_eq!(relation, "; rel=\"next\"");
            target.trim_start_matches('<').to_owned()
        });
    }
    assert_eq!(pages, [3, 3, 1]);
    assert_eq!(seen, made);
    for (query, fault) in [
        ("limit=0", "query.limit: greater_than_equal"),
        ("limit=251", "query.limit: less_than_equal"),
        ("limit=many", "query.limit: int_parsing"),
        ("cursor=x", "query.cursor: value_error"),
    ] {
        assert_eq!(
            faults(stage.client.get(&format!("{PATH}?{query}")).await),
            [fault]
        );
    }
}

#[tokio::test]
async fn patch_changes_what_it_names_and_leaves_the_rest() {
    let stage = Stage::start().await;
    let full = json!({
        "description": "old", "event_patterns": ["a"], "timeout_seconds": 5, "max_retries": 3,
        "retry_schedule": [1, 2], "headers": {"X-A": "1"}, "secret": SECRET,
    });
    let before = create_endpoint(&stage.client, URL, full).await;
    let id = text(&before["id"]);
    let after = stage
        .change_endpoint(&id, json!({"description": "new"}))
        .await;
    for (field, value) in after.as_object().expect("an object") {
        match field.as_str() {
            "description" => assert_eq!(value, "new"),
            "updated_at" => assert!(value.as_str() > before[field].as_str()),
            _ => assert_eq!(value, &before[field], "{field}"),
        }
    }
}

#[tokio::test]
async fn signature_keeps_what_a_change_leaves_out_as_long_as_the_scheme_stays() {
    let stage = Stage::start().await;
    let signature = json!({"scheme": "body", "header": "X-Hub-Signature-256", "prefix": "sha256="});
    let id = stage.endpoint(json!({"signature": signature})).await;
    let change = json!({"signature": {"prefix": "p="}});
    let changed = stage.change_endpoint(&id, change).await;
    assert_eq!(changed["signature"]["header"], "X-Hub-Signature-256");
    assert_eq!(changed["signature"]["prefix"], "p=");
    let change = json!({"signature": {"scheme": "timestamped"}});
    let changed = stage.change_endpoint(&id, change).await;
    assert_eq!(changed["signature"]["header"], "X-Signature");
    assert_eq!(changed["signature"]["prefix"], Value::Null);
}

#[tokio::test]
async fn tenant_has_at_most_ten_thousand_endpoints_and_deleted_ones_do_not_count() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let mut conn = stage.database.connect().await;
    rows::copy_endpoints(&mut conn, 9_998).await;
    stage.endpoint(json!({})).await;
    let body = json!({"url": URL});
    for path in [PATH, "/hooks"] {
        let refused = stage.client.post(path, &body).await;
        assert_eq!(code(refused, 409), "too_many_endpoints", "{path}");
    }
    assert_eq!(rows::count(&mut conn, "endpoints").await, 10_000);
    let stranger = stage.stranger().await;
    let made = stranger.post(PATH, &body).await;
    assert_eq!(made.status, 201, "another tenant's do not count");
    stage.delete_endpoint(&id).await;
    stage.endpoint(json!({})).await;
    let refused = stage.client.post(PATH, &body).await;
    assert_eq!(code(refused, 409), "too_many_endpoints");
}

#[tokio::test]
async fn unknown_endpoint_is_not_found() {
    let stage = Stage::start().await;
    for answer in [
        stage.client.get(&path(UNKNOWN_ID)).await,
        stage.client.patch(&path(UNKNOWN_ID), &json!({})).await,
        stage.client.delete(&path(UNKNOWN_ID)).await,
    ] {
        assert_eq!(code(answer, 404), "not_found");
    }
}

#[tokio::test]
async fn limits_are_set_changed_and_removed() {
    let stage = Stage::start().await;
    let id = stage
        .endpoint(json!({"rate_limit_per_second": 10_000, "max_in_flight": 1}))
        .await;
    let changed = stage
        .change_endpoint(&id, json!({"max_in_flight": 1_000}))
        .await;
    assert_eq!(
        (&changed["rate_limit_per_second"], &changed["max_in_flight"]),
        (&json!(10_000), &json!(1_000))
    );
    let none = json!({"rate_limit_per_second": null, "max_in_flight": null});
    let changed = stage.change_endpoint(&id, none).await;
    assert_eq!(
        (&changed["rate_limit_per_second"], &changed["max_in_flight"]),
        (&json!(null), &json!(null))
    );
}
