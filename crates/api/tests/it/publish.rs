//! Publishing: exact bytes, fan-out, idempotency, and what is refused.

use std::collections::HashSet;

use diesel_async::SimpleAsyncConnection;
use reprise_core::store::partitions;
use reprise_testkit::fixture::{self, Api, deliveries_of};
use reprise_testkit::http::{Content, Method, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::rows;
use crate::stage::{Stage, URL, code, faults, text};

const PATH: &str = "/v1/webhooks/events";

async fn publish_text(stage: &Stage, body: impl Into<String>) -> Response {
    let body: String = body.into();
    stage.client.post_raw(PATH, "application/json", body).await
}

fn event(event_type: &str) -> Value {
    json!({"event_type": event_type, "payload": {"n": 1}})
}

#[tokio::test]
async fn published_event_is_answered_with_its_fields() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let body = json!({"event_type": "invoice.paid", "event_group": "customer 7", "payload": null});
    let answer = stage.client.post(PATH, &body).await.expect_status(202);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let mut answer = answer.json();
    let fields = answer.as_object_mut().expect("an object");
    let id = text(&fields.remove("id").expect("an id"));
    assert!(
        id.parse::<uuid::Uuid>()
            .is_ok_and(|id| id.get_version_num() == 7)
    );
    let created_at = text(&fields.remove("created_at").expect("an instant"));
    assert!(
        created_at.ends_with('Z') && created_at.len() == 27,
        "{created_at}"
    );
    let expected =
        json!({"event_type": "invoice.paid", "event_group": "customer 7", "deliveries": 1});
    assert_eq!(answer, expected);
    let delivery = &deliveries_of(&stage.client, &id).await[0];
    assert_eq!(delivery["event_group"], "customer 7");
    assert_eq!(delivery["status"], "pending");
}

#[tokio::test]
async fn payload_is_kept_byte_for_byte() {
    let stage = Stage::start().await;
    let mut conn = stage.database.connect().await;
    for payload in [
        r#"{ "b" : 1,  "a":2 , "b":3 }"#,
        "{\n\t\"a\":\r\n  [ ]\n}",
        "123456789012345678901234567890.10",
        "1e400",
        "-0",
        "1.0",
        r#""\u0000""#,
        r#""\ud800""#,
        r#""\u00e9 é \uD83D\uDE00 😀""#,
        r#""\/ \" \\ }{][""#,
        "\"\u{2028}\u{7f}\u{feff}\"",
        "null",
        "[]",
        r#"{"":{"":""}}"#,
    ] {
        for body in [
            format!(r#"{{"event_type":"a","payload":{payload}}}"#),
            format!("\n{{ \"payload\" :\t{payload} , \"event_type\": \"a\" }} "),
        ] {
            let answer = publish_text(&stage, body).await.expect_status(202).json();
            let kept = rows::payload(&mut conn, &text(&answer["id"])).await;
            assert_eq!(String::from_utf8_lossy(&kept), payload);
        }
    }
}

#[tokio::test]
async fn events_go_to_the_endpoints_whose_patterns_match() {
    let stage = Stage::start().await;
    let mut names = Vec::new();
    for patterns in [
        json!(["*"]),
        json!(["invoice.*"]),
        json!(["invoice.paid", "x"]),
        json!(["a:b"]),
    ] {
        names.push(stage.endpoint(json!({"event_patterns": patterns})).await);
    }
    for (event_type, expected) in [
        ("invoice.paid", vec![0, 1, 2]),
        ("invoice:paid", vec![0, 1, 2]),
        ("invoice.paid.late", vec![0, 1]),
        ("invoice", vec![0]),
        ("invoices.paid", vec![0]),
        ("a.b", vec![0, 3]),
        ("x", vec![0, 2]),
    ] {
        let answer = fixture::publish(&stage.client, event_type, json!(1)).await;
        assert_eq!(answer["deliveries"], expected.len(), "{event_type}");
        assert_eq!(answer["event_type"], event_type, "as published");
        let deliveries = deliveries_of(&stage.client, &text(&answer["id"])).await;
        let reached: HashSet<String> = deliveries
            .iter()
            .map(|one| text(&one["endpoint_id"]))
            .collect();
        let expected: HashSet<String> = expected
            .iter()
            .map(|at: &usize| names[*at].clone())
            .collect();
        assert_eq!(reached, expected, "{event_type}");
    }
}

#[tokio::test]
async fn disabled_endpoint_gets_a_skipped_delivery() {
    let stage = Stage::start().await;
    let endpoint = stage.endpoint(json!({})).await;
    stage
        .change_endpoint(&endpoint, json!({"enabled": false}))
        .await;
    let id = stage.deliver("invoice.paid").await;
    let delivery = stage.delivery(&id).await;
    assert_eq!(delivery["status"], "skipped");
    assert_eq!(
        (&delivery["scheduled_attempt"], &delivery["attempt_count"]),
        (&json!(1), &json!(0))
    );
    let mut dispatcher = stage.dispatcher().await;
    assert!(dispatcher.claim_ready(10).await.is_empty());
}

#[tokio::test]
async fn event_that_nobody_wants_is_kept_without_deliveries() {
    let stage = Stage::start().await;
    let answer = fixture::publish(&stage.client, "a", json!({"x": 1})).await;
    assert_eq!(answer["deliveries"], 0);
    let mut conn = stage.database.connect().await;
    assert_eq!(
        rows::payload(&mut conn, &text(&answer["id"])).await,
        br#"{"x":1}"#
    );
}

#[tokio::test]
async fn endpoint_made_or_changed_just_before_is_always_seen() {
    let stage = Stage::start().await;
    let other = Api::start(stage.database.url()).await;
    let other = other.client(&stage.tenant);
    let deliveries =
        async |client| fixture::publish(client, "a", json!(1)).await["deliveries"].clone();
    assert_eq!(deliveries(&stage.client).await, 0);
    assert_eq!(deliveries(&other).await, 0, "both caches are warm");
    for count in 1..=5 {
        let maker = if count % 2 == 0 {
            &other
        } else {
            &stage.client
        };
        let made = fixture::create_endpoint(maker, URL, json!({})).await;
        assert_eq!(deliveries(&stage.client).await, count);
        assert_eq!(deliveries(&other).await, count);
        if count == 5 {
            let path = format!("/v1/webhooks/endpoints/{}", text(&made["id"]));
            let _ = stage
                .client
                .patch(&path, &json!({"event_patterns": ["b"]}))
                .await
                .expect_status(200);
            assert_eq!(deliveries(&other).await, 4, "a changed pattern is seen");
            let _ = stage.client.delete(&path).await.expect_status(200);
            assert_eq!(deliveries(&other).await, 4);
        }
    }
}

/// Bodies that are no event, and what is wrong with them.
const REFUSED_BODIES: [(&str, &str); 20] = [
    (r#"nonsense"#, "body.0: json_invalid"),
    (r#"{"event_type":"a","payload":1"#, "body.29: json_invalid"),
    (
        r#"{"event_type":"a","payload":1} x"#,
        "body.31: json_invalid",
    ),
    (
        r#"{"event_type":"a","payload":01}"#,
        "body.29: json_invalid",
    ),
    (
        r#"{"event_type":"a","payload":NaN}"#,
        "body.28: json_invalid",
    ),
    ("", "body: missing"),
    ("[]", "body: model_attributes_type"),
    ("null", "body: model_attributes_type"),
    (r#""text""#, "body: model_attributes_type"),
    ("{}", "body.event_type: missing, body.payload: missing"),
    (
        r#"{"event_type":7,"event_group":[],"surprise":1}"#,
        "body.event_group: string_type, body.event_type: string_type, body.payload: missing, \
         body.surprise: extra_forbidden",
    ),
    (
        r#"{"event_type":null,"payload":1}"#,
        "body.event_type: string_type",
    ),
    (
        r#"{"event_type":"","payload":1}"#,
        "body.event_type: value_error",
    ),
    (
        r#"{"event_type":"a b","payload":1}"#,
        "body.event_type: value_error",
    ),
    (
        r#"{"event_type":"a.*","payload":1}"#,
        "body.event_type: value_error",
    ),
    (
        r#"{"event_type":"a..b","payload":1}"#,
        "body.event_type: value_error",
    ),
    (
        r#"{"event_type":"\u0000","payload":1}"#,
        "body.event_type: value_error",
    ),
    (
        r#"{"event_type":"\ud800","payload":1}"#,
        "body.event_type: string_unicode",
    ),
    (
        r#"{"event_type":"a","event_group":"a\u0000b","payload":1}"#,
        "body.event_group: value_error",
    ),
    (
        r#"{"event_type":"a","event_group":"","payload":1}"#,
        "body.event_group: value_error",
    ),
];

#[tokio::test]
async fn bodies_that_are_no_event_are_refused_with_every_fault() {
    let stage = Stage::start().await;
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let too_deep = format!(r#"{{"event_type":"a","payload":{}}}"#, deep(128));
    let long = "x".repeat(129);
    let long_group = format!(r#"{{"event_type":"a","event_group":"{long}","payload":1}}"#);
    let long_type = format!(r#"{{"event_type":"{long}","payload":1}}"#);
    let more = [
        (too_deep.as_str(), "body: value_error"),
        (&long_group, "body.event_group: value_error"),
        (&long_type, "body.event_type: value_error"),
    ];
    for (body, expected) in REFUSED_BODIES.into_iter().chain(more) {
        let answer = publish_text(&stage, body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        assert_eq!(faults(answer).join(", "), expected, "{body}");
    }
    let deepest = format!(r#"{{"event_type":"a","payload":{}}}"#, deep(127));
    let _ = publish_text(&stage, deepest).await.expect_status(202);
    let latin: &[u8] = b"{\"event_type\":\"a\",\"payload\":\"\xe9\"}";
    let answer = stage.client.post_raw(PATH, "application/json", latin).await;
    assert!(
        faults(answer)[0].ends_with("json_invalid"),
        "only UTF-8 is JSON"
    );
    let mut conn = stage.database.connect().await;
    assert_eq!(
        rows::count(&mut conn, "events").await,
        1,
        "nothing else was kept"
    );
}

#[tokio::test]
async fn other_media_types_are_refused_and_json_ones_are_not() {
    let stage = Stage::start().await;
    let body = event("a").to_string();
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "",
    ] {
        let answer = stage.client.post_raw(PATH, media_type, body.clone()).await;
        assert_eq!(code(answer, 415), "unsupported_media_type", "{media_type}");
    }
    for media_type in [
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/cloudevents+json",
    ] {
        let answer = stage.client.post_raw(PATH, media_type, body.clone()).await;
        assert_eq!(answer.status, 202, "{media_type}");
    }
}

#[tokio::test]
async fn body_may_be_one_mebibyte_and_not_a_byte_more() {
    let stage = Stage::start().await;
    let body = |bytes: usize| {
        let frame = r#"{"event_type":"a","payload":""}"#;
        let filling = "x".repeat(bytes - frame.len());
        frame.replace(r#""""#, &format!("\"{filling}\""))
    };
    let _ = publish_text(&stage, body(1_048_576))
        .await
        .expect_status(202);
    for bytes in [1_048_577, 3_000_000] {
        assert_eq!(
            code(publish_text(&stage, body(bytes)).await, 413),
            "body_too_large"
        );
    }
    let large = Content::new("application/json", body(3_000_000));
    let anonymous = stage
        .api
        .anonymous()
        .send(Method::POST, PATH, Some(large))
        .await;
    assert_eq!(
        code(anonymous, 401),
        "not_authenticated",
        "who may not call is told so first"
    );
    let mut conn = stage.database.connect().await;
    assert_eq!(rows::count(&mut conn, "events").await, 1);
}

#[tokio::test]
async fn repeat_with_the_same_key_gets_the_same_answer_and_makes_nothing() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let keyed = stage.client.header("Idempotency-Key", "order-1");
    let first = keyed.post(PATH, &event("a")).await.expect_status(202);
    stage.endpoint(json!({})).await;
    let second = keyed.post(PATH, &event("a")).await.expect_status(202);
    assert_eq!(first.body, second.body);
    let other = keyed.post(PATH, &event("b")).await;
    assert_eq!(code(other, 409), "idempotency_key_reused");
    let mut conn = stage.database.connect().await;
    assert_eq!(rows::count(&mut conn, "events").await, 1);
    assert_eq!(rows::count(&mut conn, "deliveries").await, 1);
    let stranger = stage.stranger().await.header("Idempotency-Key", "order-1");
    let foreign = stranger.post(PATH, &event("b")).await.expect_status(202);
    assert_ne!(
        foreign.json()["id"],
        first.json()["id"],
        "a key is its tenant's own"
    );
    let refused = stage
        .client
        .header("Idempotency-Key", "order-2")
        .post(PATH, &json!({}))
        .await;
    assert_eq!(refused.status, 422);
    let mended = stage
        .client
        .header("Idempotency-Key", "order-2")
        .post(PATH, &event("a"))
        .await;
    assert_eq!(
        mended.status, 202,
        "a refused request does not use up its key"
    );
}

#[tokio::test]
async fn twenty_repeats_at_once_make_one_event() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let client = stage.client.header("Idempotency-Key", "once");
        calls.spawn(async move { client.post(PATH, &event("a")).await });
    }
    let answers = calls.join_all().await;
    let bodies: HashSet<_> = answers
        .into_iter()
        .map(|answer| answer.expect_status(202).body)
        .collect();
    assert_eq!(bodies.len(), 1);
    let mut conn = stage.database.connect().await;
    assert_eq!(rows::count(&mut conn, "events").await, 1);
    assert_eq!(rows::count(&mut conn, "deliveries").await, 1);
    assert_eq!(rows::count(&mut conn, "delivery_queue").await, 1);
}

#[tokio::test]
async fn malformed_keys_are_refused() {
    let stage = Stage::start().await;
    for key in ["", "with space", "é", &"x".repeat(256)] {
        let answer = stage
            .client
            .header("Idempotency-Key", key)
            .post(PATH, &event("a"))
            .await;
        assert_eq!(code(answer, 400), "bad_idempotency_key", "{key}");
    }
    let twice = stage
        .client
        .header("Idempotency-Key", "a")
        .header("Idempotency-Key", "b");
    assert_eq!(
        code(twice.post(PATH, &event("a")).await, 400),
        "bad_idempotency_key"
    );
    let longest = stage.client.header("Idempotency-Key", &"~".repeat(255));
    let _ = longest.post(PATH, &event("a")).await.expect_status(202);
}

/// Takes away the tables that deliveries are kept in.
const DROP_PARTITIONS: &str = "DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'deliveries'::regclass
    LOOP EXECUTE 'DROP TABLE ' || name; END LOOP; END $$";

#[tokio::test]
async fn event_and_its_deliveries_are_kept_together_or_not_at_all() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut conn = stage.database.connect().await;
    conn.batch_execute(DROP_PARTITIONS)
        .await
        .expect("they can be dropped");
    let keyed = stage.client.header("Idempotency-Key", "once");
    for client in [&stage.client, &keyed] {
        let answer = client.post(PATH, &event("a")).await.expect_status(500);
        assert!(answer.header("x-request-id").is_some());
        let body = json!({"detail": "Internal Server Error", "code": "internal_error"});
        assert_eq!(
            answer.json(),
            body,
            "the cause is not the client's business"
        );
    }
    for table in ["events", "delivery_queue", "idempotency_keys"] {
        assert_eq!(rows::count(&mut conn, table).await, 0, "{table}");
    }
    partitions::keep_ahead(&mut conn)
        .await
        .expect("they can be made again");
    let _ = keyed.post(PATH, &event("a")).await.expect_status(202);
    assert_eq!(rows::count(&mut conn, "deliveries").await, 1);
}

#[tokio::test]
async fn events_published_at_once_all_get_their_own_delivery() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let client = stage.client.clone();
        calls.spawn(async move { client.post(PATH, &event("a")).await });
    }
    let ids: HashSet<_> = calls
        .join_all()
        .await
        .into_iter()
        .map(|answer| text(&answer.expect_status(202).json()["id"]))
        .collect();
    assert_eq!(ids.len(), 50);
    let mut conn = stage.database.connect().await;
    let matched = "deliveries d JOIN delivery_queue q ON q.tenant_id = d.tenant_id AND q.delivery_id = d.id \
                   JOIN events e ON e.tenant_id = d.tenant_id AND e.id = d.event_id";
    assert_eq!(rows::count(&mut conn, matched).await, 50);
}
