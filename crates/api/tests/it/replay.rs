//! Reference A: `POST /v1/webhooks/deliveries/{delivery_id}/replay`.

use diesel_async::SimpleAsyncConnection;
use reprise_testkit::fixture::Api;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinSet;

use crate::played_dispatcher::Played;
use crate::rows;
use crate::stage::{Stage, UNKNOWN_ID, code, replay_path, text};

/// A's schema of `WebhookDeliveryResponse`: name, type, whether null is allowed.
const FIELDS: [(&str, &str, bool); 16] = [
    ("id", "string", false),
    ("endpoint_id", "string", false),
    ("user_id", "integer", false),
    ("event_id", "string", true),
    ("event_type", "string", false),
    ("event_group", "string", true),
    ("status", "string", false),
    ("scheduled_attempt", "integer", false),
    ("next_retry_at", "date-time", true),
    ("last_attempt_at", "date-time", true),
    ("delivered_at", "date-time", true),
    ("final_http_status", "integer", true),
    ("error_message", "string", true),
    ("replay_of_delivery_id", "string", true),
    ("created_at", "date-time", false),
    ("updated_at", "date-time", false),
];

/// Checks a delivery against A, field by field; besides A's there may only be `attempt_count`.
#[track_caller]
fn assert_is_of_reference_a(delivery: &Value) {
    let object = delivery.as_object().expect("an object");
    for (name, kind, is_nullable) in FIELDS {
        let value = object
            .get(name)
            .unwrap_or_else(|| panic!("{name} is missing"));
        let fits = match kind {
            "integer" => value.is_i64(),
            "date-time" => value
                .as_str()
                .is_some_and(|text| OffsetDateTime::parse(text, &Rfc3339).is_ok()),
            _ => value.is_string(),
        };
        assert!(
            fits || (is_nullable && value.is_null()),
            "{name} is {value}"
        );
    }
    let more: Vec<_> = object
        .keys()
        .filter(|key| !FIELDS.iter().any(|(name, ..)| name == key))
        .collect();
    assert_eq!(more, ["attempt_count"]);
}

#[tokio::test]
async fn replay_is_a_new_delivery_of_the_same_event_to_the_same_endpoint() {
    let stage = Stage::start().await;
    let endpoint = stage.endpoint(json!({})).await;
    let body = json!({"event_type": "invoice:paid", "event_group": "g", "payload": {"a": 1}});
    let event = stage
        .client
        .post("/v1/webhooks/events", &body)
        .await
        .expect_status(202)
        .json();
    let mut dispatcher = stage.dispatcher().await;
    let original = dispatcher
        .play_one(Played::AnsweredAtLast(500))
        .await
        .delivery_id
        .to_string();
    let before = stage.delivery(&original).await;

    let answer = stage.replay(&original).await.expect_status(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let replay = answer.json();
    assert_is_of_reference_a(&replay);
    let id = text(&replay["id"]);
    assert_ne!(id, original);
    for (field, expected) in [
        ("endpoint_id", json!(endpoint)),
        ("user_id", json!(stage.tenant.user_id)),
        ("event_id", event["id"].clone()),
        ("event_type", json!("invoice:paid")),
        ("event_group", json!("g")),
        ("status", json!("pending")),
        ("scheduled_attempt", json!(1)),
        ("attempt_count", json!(0)),
        ("replay_of_delivery_id", json!(original)),
        ("next_retry_at", Value::Null),
        ("last_attempt_at", Value::Null),
        ("delivered_at", Value::Null),
        ("final_http_status", Value::Null),
        ("error_message", Value::Null),
    ] {
        assert_eq!(replay[field], expected, "{field}");
    }
    assert_eq!(
        stage.delivery(&id).await,
        replay,
        "it is kept as it was answered"
    );
    assert_eq!(
        stage.delivery(&original).await,
        before,
        "terminal rows never move"
    );
}

#[tokio::test]
async fn replay_is_delivered_like_any_other_delivery() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let original = stage
        .attempted(&mut dispatcher, Played::AnsweredAtLast(500))
        .await;
    let original = stage.delivery(&original).await;
    assert_is_of_reference_a(&original);
    assert_eq!(original["final_http_status"], 500);
    assert!(text(&original["error_message"]).starts_with("Gave up after 1 attempt"));
    let replay = stage
        .replay(&text(&original["id"]))
        .await
        .expect_status(200);
    let replay = replay.json();
    let claim = dispatcher.play_one(Played::Answered(200)).await;
    assert_eq!(replay["id"], claim.delivery_id.to_string());
    assert_eq!(original["event_id"], claim.event_id.to_string());
    let delivered = stage.delivery(&text(&replay["id"])).await;
    assert_is_of_reference_a(&delivered);
    assert_eq!(delivered["status"], "delivered");
    assert_eq!(delivered["final_http_status"], 200);
}

#[tokio::test]
async fn replay_of_a_replay_names_the_one_it_was_asked_for() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let original = stage
        .attempted(&mut dispatcher, Played::Answered(200))
        .await;
    let first = stage.replay(&original).await.expect_status(200).json();
    dispatcher.play_one(Played::Answered(200)).await;
    let second = stage
        .replay(&text(&first["id"]))
        .await
        .expect_status(200)
        .json();
    assert_eq!(second["replay_of_delivery_id"], first["id"]);
    assert_eq!(second["event_id"], first["event_id"]);
}

#[tokio::test]
async fn retrying_skipped_and_failed_deliveries_can_be_replayed() {
    let stage = Stage::start().await;
    let endpoint = stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let retrying = stage
        .attempted(&mut dispatcher, Played::Answered(503))
        .await;
    let before = stage.delivery(&retrying).await;
    assert_eq!(before["status"], "retrying");
    let _ = stage.replay(&retrying).await.expect_status(200);
    assert_eq!(
        stage.delivery(&retrying).await,
        before,
        "the original goes its way"
    );
    stage
        .change_endpoint(&endpoint, json!({"enabled": false}))
        .await;
    let skipped = stage.deliver("a").await;
    stage
        .change_endpoint(&endpoint, json!({"enabled": true}))
        .await;
    let _ = stage.replay(&skipped).await.expect_status(200);
}

#[tokio::test]
async fn unfinished_deliveries_cannot_be_replayed() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let id = stage.deliver("a").await;
    assert_eq!(code(stage.replay(&id).await, 409), "delivery_not_finished");
    let mut dispatcher = stage.dispatcher().await;
    let claims = dispatcher.claim_ready(1).await;
    assert_eq!(stage.delivery(&id).await["status"], "delivering");
    assert_eq!(code(stage.replay(&id).await, 409), "delivery_not_finished");
    dispatcher.finish(&claims[0], Played::Answered(200)).await;
    let _ = stage.replay(&id).await.expect_status(200);
    let mut conn = stage.database.connect().await;
    assert_eq!(rows::count(&mut conn, "deliveries").await, 2);
}

#[tokio::test]
async fn disabled_and_deleted_endpoints_refuse_replays() {
    let stage = Stage::start().await;
    let endpoint = stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage
        .attempted(&mut dispatcher, Played::Answered(200))
        .await;
    stage
        .change_endpoint(&endpoint, json!({"enabled": false}))
        .await;
    assert_eq!(code(stage.replay(&id).await, 409), "endpoint_disabled");
    stage.delete_endpoint(&endpoint).await;
    assert_eq!(code(stage.replay(&id).await, 409), "endpoint_disabled");
    let mut conn = stage.database.connect().await;
    assert_eq!(rows::count(&mut conn, "deliveries").await, 1);
}

#[tokio::test]
async fn expired_payload_is_gone() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage
        .attempted(&mut dispatcher, Played::Answered(200))
        .await;
    let mut conn = stage.database.connect().await;
    conn.batch_execute("DELETE FROM events")
        .await
        .expect("retention may come");
    assert_eq!(code(stage.replay(&id).await, 410), "payload_expired");
    assert_is_of_reference_a(&stage.delivery(&id).await);
}

#[tokio::test]
async fn ids_that_are_not_the_tenants_are_one_and_the_same_404() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage
        .attempted(&mut dispatcher, Played::Answered(200))
        .await;
    let stranger = stage.stranger().await;
    let unknown = stranger
        .post_empty(&replay_path(UNKNOWN_ID))
        .await
        .expect_status(404);
    assert_eq!(
        unknown.json(),
        json!({"detail": "Delivery not found", "code": "not_found"})
    );
    // Random, since PostgreSQL compresses what repeats.
    let long: String = (0..120).map(|_| uuid::Uuid::new_v4().to_string()).collect();
    for other in [id.as_str(), "x", "%20", "%00", UNKNOWN_ID, &long] {
        for client in [&stranger, &stranger.header("Idempotency-Key", "k")] {
            let answer = client.post_empty(&replay_path(other)).await;
            assert_eq!(
                (answer.status, &answer.body),
                (404, &unknown.body),
                "{other}"
            );
        }
    }
    let _ = stage.replay(&id.to_uppercase()).await.expect_status(200);
}

#[tokio::test]
async fn replaying_needs_credentials_and_the_scope_to_write() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage
        .attempted(&mut dispatcher, Played::Answered(200))
        .await;
    let path = replay_path(&id);
    let anonymous = stage.api.anonymous().post_empty(&path).await;
    assert_eq!(anonymous.header("www-authenticate"), Some("Bearer"));
    assert_eq!(code(anonymous, 401), "not_authenticated");
    let others = stage.token("events:write webhooks:read admin").await;
    let refused = stage
        .api
        .anonymous()
        .bearer(&others)
        .post_empty(&path)
        .await;
    assert_eq!(code(refused, 403), "insufficient_scope");
    let writer = stage.token("webhooks:write").await;
    let _ = stage
        .api
        .anonymous()
        .bearer(&writer)
        .post_empty(&path)
        .await
        .expect_status(200);
}

#[tokio::test]
async fn double_click_makes_one_replay() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage
        .attempted(&mut dispatcher, Played::Answered(200))
        .await;
    let mut clicks = JoinSet::new();
    for _ in 0..5 {
        let client = stage.client.header("Idempotency-Key", "click");
        let path = replay_path(&id);
        clicks.spawn(async move { client.post_empty(&path).await.expect_status(200).body });
    }
    let answers = clicks.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let mut conn = stage.database.connect().await;
    assert_eq!(rows::count(&mut conn, "deliveries").await, 2);
    dispatcher.play_one(Played::Answered(200)).await;
    let keyed = stage.client.header("Idempotency-Key", "click");
    let late = keyed.post_empty(&replay_path(&id)).await.expect_status(200);
    assert_eq!(late.body, answers[0], "also after it was delivered");
    let fresh = stage.replay(&id).await.expect_status(200);
    assert_ne!(
        fresh.body, answers[0],
        "without the key it is another replay"
    );
    let spelt = [id.to_uppercase(), id.replace('-', "%2d")];
    for other in spelt {
        let same = keyed
            .post_empty(&replay_path(&other))
            .await
            .expect_status(200);
        assert_eq!(same.body, answers[0], "{other} is the same delivery");
    }
    let malformed = stage
        .client
        .header("Idempotency-Key", "a b")
        .post_empty(&replay_path(&id))
        .await;
    assert_eq!(code(malformed, 400), "bad_idempotency_key");
}

#[tokio::test]
async fn preferred_wait_answers_with_what_came_of_the_first_attempt() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage
        .attempted(&mut dispatcher, Played::Answered(500))
        .await;
    let path = replay_path(&id);
    let waiting = stage.client.header("Prefer", "wait=25");
    let (answer, claim) = tokio::join!(
        waiting.post_empty(&path),
        dispatcher.play_express(Played::Answered(204))
    );
    let answer = answer.expect_status(200);
    assert_eq!(answer.header("preference-applied"), Some("wait=25"));
    let replay = answer.json();
    assert_is_of_reference_a(&replay);
    assert_eq!(replay["id"], claim.delivery_id.to_string());
    assert_eq!(
        (&replay["status"], &replay["final_http_status"]),
        (&json!("delivered"), &json!(204))
    );

    let impatient = stage
        .client
        .header("Prefer", "wait=0")
        .post_empty(&path)
        .await
        .expect_status(200);
    assert_eq!(impatient.header("preference-applied"), Some("wait=0"));
    assert_eq!(impatient.json()["status"], "pending");
    let failing = stage.client.header("Prefer", "respond-async, wait=25");
    dispatcher.play_one(Played::Answered(500)).await;
    let (answer, _) = tokio::join!(
        failing.post_empty(&path),
        dispatcher.play_express(Played::Unreachable)
    );
    assert_eq!(answer.expect_status(200).json()["status"], "retrying");
}

#[tokio::test]
async fn attempt_recorded_elsewhere_ends_the_wait_at_another_api() {
    let stage = Stage::start().await;
    let other = Api::start(stage.database.url()).await;
    stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage
        .attempted(&mut dispatcher, Played::Answered(500))
        .await;
    let path = replay_path(&id);
    let key = |api: &Api| {
        api.client(&stage.tenant)
            .header("Prefer", "wait=25")
            .header("Idempotency-Key", "click")
    };
    let (here, there) = (key(&stage.api), key(&other));
    let (first, second, claim) = tokio::join!(
        here.post_empty(&path),
        there.post_empty(&path),
        dispatcher.play_express(Played::Answered(200))
    );
    for answer in [first, second] {
        let replay = answer.expect_status(200).json();
        assert_eq!(replay["id"], claim.delivery_id.to_string());
        assert_eq!(replay["status"], "delivered");
    }
}
