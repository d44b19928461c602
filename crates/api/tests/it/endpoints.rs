//! Endpoints: made, shown, changed, deleted, and which URLs they may have.

use reprise_testkit::fixture::create_endpoint;
use reprise_testkit::http::{Content, Method};
use serde_json::{Value, json};

use crate::played_dispatcher::Played;
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
        "failing_since": null, "last_success_at": null,
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
async fn faults_of_an_endpoint_are_told_all_at_once() {
    let stage = Stage::start().await;
    let bad = json!({
        "description": 7, "event_patterns": ["ok", "not ok", 3], "timeout_seconds": 61, "max_retries": -1,
        "headers": {"Host": "x"}, "secret": "short", "retry_schedule": ["soon"], "enabled": true,
        "surprise": null, "max_in_flight": 0, "rate_limit_per_second": 10_001,
    });
    assert_eq!(
        faults(stage.client.post(PATH, &bad).await),
        [
            "body.description: string_type",
            "body.enabled: extra_forbidden",
            "body.event_patterns.1: value_error",
            "body.event_patterns.2: string_type",
            "body.headers: value_error",
            "body.max_in_flight: greater_than_equal",
            "body.max_retries: greater_than_equal",
            "body.rate_limit_per_second: less_than_equal",
            "body.retry_schedule.0: int_parsing",
            "body.secret: value_error",
            "body.surprise: extra_forbidden",
            "body.timeout_seconds: less_than_equal",
            "body.url: missing",
        ]
    );
    assert_eq!(
        faults(stage.client.post(PATH, &json!({})).await),
        ["body.url: missing"]
    );
    let signature =
        json!({"url": URL, "signature": {"scheme": "md5", "algorithm": "rot13", "x": 1}});
    assert_eq!(
        faults(stage.client.post(PATH, &signature).await),
        [
            "body.signature.algorithm: value_error",
            "body.signature.scheme: value_error",
            "body.signature.x: extra_forbidden",
        ]
    );
}

#[tokio::test]
async fn faults_that_show_beside_another_field_are_told_too() {
    let stage = Stage::start().await;
    let clash =
        json!({"url": URL, "headers": {"x-signature": "mine"}, "signature": {"scheme": "body"}});
    assert_eq!(
        faults(stage.client.post(PATH, &clash).await),
        ["body.headers: value_error"]
    );
    let puzzling = json!({"signature": {"scheme": "md5"}, "secret": "free-text"});
    assert_eq!(
        faults(stage.client.post(PATH, &puzzling).await),
        ["body.signature.scheme: value_error", "body.url: missing"],
        "a secret is not judged by a scheme that nobody knows"
    );
    let nul = json!({"url": URL, "description": "a\0b"});
    assert_eq!(
        faults(stage.client.post(PATH, &nul).await),
        ["body.description: value_error"]
    );
    for url in [json!(null), json!(7), json!(["https://a.example"])] {
        assert_eq!(
            faults(stage.client.post(PATH, &json!({"url": url})).await),
            ["body.url: string_type"]
        );
    }
}

/// URLs that no endpoint may have, where the operator allows nothing beyond the rule.
const REFUSED_URLS: [&str; 54] = [
    "http://hooks.example/x",
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://0/",
    "https://10.0.0.1/",
    "https://172.16.5.4/",
    "https://192.168.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::808:808]/",
    "https://[2002:7f00:1::]/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[fe80::1%25eth0]/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://a.localhost/",
    "https://%6cocalhost/",
    "https://127。0。0。1/",
    "https://①②⑦.0.0.1/",
    "https://user@hooks.example/",
    "https://user:secret@hooks.example/",
    "https://hooks.example@127.0.0.1/",
    "https://hooks.example/#top",
    "https://hooks.example:22/",
    "https://hooks.example:0/",
    "https://hooks.example:99999/",
    "https://hooks.example\\@127.0.0.1/",
    "https://hooks.example/a b",
    " https://hooks.example/",
    "https://hooks.example/\n",
    "https:hooks.example",
    "https:///hooks.example",
    "https://",
    "ftp://hooks.example/",
    "file:///etc/passwd",
    "gopher://hooks.example/",
    "hooks.example",
    "",
];

#[tokio::test]
async fn urls_that_are_not_public_are_refused_in_every_notation() {
    let closed = [
        ("REPRISE_ALLOW_NETWORKS", ""),
        ("REPRISE_ALLOW_HTTP", "false"),
    ];
    let stage = Stage::start_with(&closed).await;
    let long = format!("https://hooks.example/{}", "x".repeat(2_048));
    for url in REFUSED_URLS.into_iter().chain([long.as_str()]) {
        let answer = stage.client.post(PATH, &json!({"url": url})).await;
        assert_eq!(answer.status, 422, "{url}: {}", answer.text());
        assert!(!answer.text().contains("secret@"), "{}", answer.text());
        assert_eq!(faults(answer), ["body.url: value_error"], "{url}");
    }
    for url in [
        "https://hooks.example/x?y=1",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]:8443/",
    ] {
        assert_eq!(
            create_endpoint(&stage.client, url, json!({})).await["url"],
            url
        );
    }
    assert_eq!(
        stage.client.get(PATH).await.json().as_array().map(Vec::len),
        Some(3),
        "nothing that was refused was made"
    );
}

#[tokio::test]
async fn changed_url_is_judged_as_a_new_one_is() {
    let closed = [
        ("REPRISE_ALLOW_NETWORKS", ""),
        ("REPRISE_ALLOW_HTTP", "false"),
    ];
    let stage = Stage::start_with(&closed).await;
    let url = "https://hooks.example/";
    let id = text(&create_endpoint(&stage.client, url, json!({})).await["id"]);
    for bad in ["https://127.0.0.1/", "http://hooks.example/"] {
        let answer = stage.client.patch(&path(&id), &json!({"url": bad})).await;
        assert_eq!(faults(answer), ["body.url: value_error"]);
    }
    assert_eq!(stage.client.get(&path(&id)).await.json()["url"], url);
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
async fn faults_of_a_change_are_told_all_at_once_and_nothing_changes() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let before = stage.client.get(&path(&id)).await.json();
    let bad =
        json!({"url": null, "timeout_seconds": 0, "x": 1, "secret": "short", "description": "new"});
    let answer = stage.client.patch(&path(&id), &bad).await;
    assert_eq!(
        faults(answer),
        [
            "body.secret: value_error",
            "body.timeout_seconds: greater_than_equal",
            "body.url: string_type",
            "body.x: extra_forbidden"
        ]
    );
    assert_eq!(stage.client.get(&path(&id)).await.json(), before);
    let free = json!({"signature": {"scheme": "timestamped"}, "secret": "free-text"});
    let changed = stage.change_endpoint(&id, free).await;
    assert_eq!(changed["signature"]["scheme"], "timestamped");
    let back = stage
        .client
        .patch(&path(&id), &json!({"signature": null}))
        .await;
    assert_eq!(
        faults(back),
        ["body.secret: value_error"],
        "the free text is no whsec_ secret"
    );
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
async fn endpoint_is_disabled_and_enabled_with_its_reason() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let disabled = stage.change_endpoint(&id, json!({"enabled": false})).await;
    assert_eq!(
        (&disabled["status"], &disabled["enabled"]),
        (&json!("disabled"), &json!(false))
    );
    assert_eq!(disabled["disabled_reason"], "Disabled by request");
    let shown = stage.client.get(&path(&id)).await.json();
    assert_eq!(shown["status"], "disabled");
    let enabled = stage.change_endpoint(&id, json!({"enabled": true})).await;
    assert_eq!(
        (&enabled["status"], &enabled["disabled_reason"]),
        (&json!("enabled"), &Value::Null)
    );
}

#[tokio::test]
async fn deliveries_of_a_disabled_endpoint_are_kept_back_until_it_is_enabled() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let delivery = stage.deliver("invoice.paid").await;
    stage.change_endpoint(&id, json!({"enabled": false})).await;
    let mut dispatcher = stage.dispatcher().await;
    assert!(
        dispatcher.claim_ready(10).await.is_empty(),
        "from the answer on"
    );
    dispatcher.settle().await;
    assert_eq!(stage.delivery(&delivery).await["status"], "pending");
    stage.change_endpoint(&id, json!({"enabled": true})).await;
    dispatcher.settle().await;
    dispatcher.play_one(Played::Answered(200)).await;
    assert_eq!(stage.delivery(&delivery).await["status"], "delivered");
}

#[tokio::test]
async fn gone_receiver_disables_its_endpoint() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let delivery = stage
        .attempted(&mut dispatcher, Played::Answered(410))
        .await;
    let endpoint = stage.client.get(&path(&id)).await.json();
    assert_eq!(endpoint["status"], "disabled");
    assert_eq!(
        endpoint["disabled_reason"],
        "The receiver answered 410 Gone"
    );
    let delivery = stage.delivery(&delivery).await;
    assert_eq!(
        (&delivery["status"], &delivery["final_http_status"]),
        (&json!("failed"), &json!(410))
    );
}

#[tokio::test]
async fn deleted_endpoint_leaves_the_list_but_not_the_history() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    let kept = stage.endpoint(json!({"event_patterns": ["other"]})).await;
    let delivery = stage.deliver("invoice.paid").await;
    let deleted = stage.delete_endpoint(&id).await;
    assert_eq!(
        (&deleted["status"], &deleted["enabled"]),
        (&json!("deleted"), &json!(false))
    );
    let listed = stage.client.get(PATH).await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(listed[0]["id"], kept);
    assert_eq!(
        stage.client.get(&path(&id)).await.expect_status(200).json(),
        deleted
    );
    let answer = stage
        .client
        .patch(&path(&id), &json!({"enabled": true}))
        .await;
    assert_eq!(code(answer, 409), "endpoint_deleted");
    assert_eq!(
        stage.delete_endpoint(&id).await["status"],
        "deleted",
        "twice is fine"
    );
    let published = stage
        .client
        .post(
            "/v1/webhooks/events",
            &json!({"event_type": "a", "payload": 1}),
        )
        .await;
    assert_eq!(published.expect_status(202).json()["deliveries"], 0);

    let mut dispatcher = stage.dispatcher().await;
    assert!(
        dispatcher.claim_ready(10).await.is_empty(),
        "nothing is sent from the answer on"
    );
    dispatcher.settle().await;
    let delivery = stage.delivery(&delivery).await;
    assert_eq!(delivery["status"], "canceled");
    assert_eq!(delivery["error_message"], "The endpoint was deleted");
    assert_eq!(delivery["final_http_status"], Value::Null);
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

/// Values that are odd in most places.
const ODD_VALUES: [&str; 24] = [
    "null",
    "true",
    "[]",
    "{}",
    "0",
    "-1",
    "1e400",
    "-1e400",
    "1e-400",
    "9223372036854775808",
    "5.5",
    "1e15",
    r#""""#,
    r#"" ""#,
    r#""\u0000""#,
    r#""\ud800""#,
    r#""\r\n""#,
    r#""é😀""#,
    r#"[null]"#,
    r#"[[[]]]"#,
    r#"[1e400]"#,
    r#"{"\u0000":"a"}"#,
    r#"{"\ud800":"a"}"#,
    r#"{"a":"b\r\nc"}"#,
];

#[tokio::test]
async fn odd_values_are_taken_or_refused_but_never_our_mistake() {
    let stage = Stage::start().await;
    let id = stage.endpoint(json!({})).await;
    for field in [
        "url",
        "description",
        "event_patterns",
        "timeout_seconds",
        "max_retries",
        "headers",
        "secret",
        "signature",
        "retry_schedule",
        "enabled",
        "rate_limit_per_second",
        r"\u0000",
        r"\ud800",
    ] {
        for value in ODD_VALUES {
            let body = format!(r#"{{"{field}":{value}}}"#);
            let change = Content::new("application/json", body.clone());
            let answer = stage
                .client
                .send(Method::PATCH, &path(&id), Some(change))
                .await;
            assert!(
                [200, 422].contains(&answer.status),
                "{body}: {} {}",
                answer.status,
                answer.text()
            );
            let with_url = format!(r#"{{"url":"{URL}",{}"#, &body[1..]);
            let answer = stage
                .client
                .post_raw(PATH, "application/json", with_url)
                .await;
            assert!(
                [201, 422].contains(&answer.status),
                "{body}: {} {}",
                answer.status,
                answer.text()
            );
        }
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
