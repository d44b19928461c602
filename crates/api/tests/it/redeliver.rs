//! Reference B: `POST /hooks/{hook_id}/requests/{request_id}/redeliver`.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use reprise_core::event_type::EventType;
use reprise_core::ids::{EventId, TenantId};
use reprise_core::store::events::{NewEvent, publish};
use reprise_core::store::subscriptions;
use reprise_testkit::http::Response;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

use crate::played_dispatcher::{DURATION, Played, PlayedDispatcher};
use crate::rows;
use crate::stage::{Stage, UNKNOWN_ID, code, redeliver_path, text};

/// Everything that B shows of a webhook event object.
const FIELDS: [&str; 11] = [
    "id",
    "tenant_id",
    "delivery_id",
    "event",
    "enqueued_at",
    "redelivery",
    "hook_id",
    "created_at",
    "updated_at",
    "response_status",
    "response_duration_ms",
];

/// Checks an object against B, field by field.
#[track_caller]
fn assert_is_of_reference_b(object: &Value) {
    let mut names: Vec<_> = object.as_object().expect("an object").keys().collect();
    let mut expected = FIELDS.to_vec();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    for field in ["id", "tenant_id", "delivery_id", "hook_id"] {
        let id = text(&object[field]);
        assert!(
            id.len() == 36 && id.parse::<uuid::Uuid>().is_ok(),
            "{field} is {id}"
        );
    }
    for field in ["enqueued_at", "created_at", "updated_at"] {
        let instant = text(&object[field]);
        let is_written_as_in_b =
            instant.len() == "2020-09-30T21:18:03.353Z".len() && instant.ends_with('Z');
        assert!(
            is_written_as_in_b && OffsetDateTime::parse(&instant, &Rfc3339).is_ok(),
            "{instant}"
        );
    }
    assert!(object["event"].is_string());
    assert_eq!(object["redelivery"], true);
    for field in ["response_status", "response_duration_ms"] {
        assert!(object[field].is_u64() || object[field].is_null(), "{field}");
    }
}

/// A stage with one endpoint and one delivery whose first attempt failed.
struct Play {
    stage: Stage,
    dispatcher: PlayedDispatcher,
    hook_id: String,
    request_id: String,
}

impl Play {
    async fn start() -> Self {
        let stage = Stage::start().await;
        let hook_id = stage.endpoint(json!({})).await;
        let mut dispatcher = stage.dispatcher().await;
        let request_id = stage
            .attempted(&mut dispatcher, Played::Answered(500))
            .await;
        Self {
            stage,
            dispatcher,
            hook_id,
            request_id,
        }
    }

    fn path(&self) -> String {
        redeliver_path(&self.hook_id, &self.request_id)
    }

    /// Redelivers while the dispatcher plays the attempt.
    async fn redeliver(&mut self, path: &str, played: Played) -> Response {
        let (answer, _) = tokio::join!(
            self.stage.client.post_empty(path),
            self.dispatcher.play_express(played)
        );
        answer
    }
}

#[tokio::test]
async fn answer_is_the_webhook_event_object_with_the_receivers_answer() {
    let mut play = Play::start().await;
    let path = play.path();
    let answer = play
        .redeliver(&path, Played::Answered(201))
        .await
        .expect_status(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.header("preference-applied"),
        None,
        "nothing was preferred"
    );
    let object = answer.json();
    assert_is_of_reference_b(&object);
    assert_eq!(object["id"], play.request_id);
    assert_eq!(object["tenant_id"], play.stage.tenant.tenant_id);
    assert_eq!(object["hook_id"], play.hook_id);
    assert_eq!(object["event"], "invoice.paid");
    assert_eq!(object["response_status"], 201);
    assert_eq!(
        object["response_duration_ms"],
        u64::try_from(DURATION.as_millis()).expect("few")
    );

    let replays = format!("/v1/webhooks/deliveries?replay_of={}", play.request_id);
    let replays = play.stage.client.get(&replays).await.json();
    let replay = &replays["items"][0];
    assert_eq!(replay["status"], "delivered");
    let attempts = format!("/v1/webhooks/deliveries/{}/attempts", text(&replay["id"]));
    let attempts = play.stage.client.get(&attempts).await.json();
    assert_eq!(attempts["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(attempts["items"][0]["id"], object["delivery_id"]);
    assert_eq!(
        play.stage.delivery(&play.request_id).await["status"],
        "retrying",
        "the original goes its way"
    );
}

#[tokio::test]
async fn id_stays_the_same_over_redeliveries_and_by_any_replays_id() {
    let mut play = Play::start().await;
    let path = play.path();
    let mut attempts = Vec::new();
    for status in [500, 200, 404] {
        let object = play
            .redeliver(&path, Played::Answered(status))
            .await
            .expect_status(200)
            .json();
        assert_eq!(
            (&object["id"], &object["response_status"]),
            (&json!(play.request_id), &json!(status))
        );
        attempts.push(text(&object["delivery_id"]));
    }
    attempts.sort();
    attempts.dedup();
    assert_eq!(attempts.len(), 3, "each attempt has an id of its own");
    let replays = play
        .stage
        .client
        .get("/v1/webhooks/deliveries?limit=1")
        .await
        .json();
    let last = text(&replays["items"][0]["id"]);
    assert_ne!(last, play.request_id);
    let path = redeliver_path(&play.hook_id, &last);
    let object = play
        .redeliver(&path, Played::Answered(200))
        .await
        .expect_status(200)
        .json();
    assert_eq!(
        object["id"], play.request_id,
        "asked for by a replay's id, answered with the stable one"
    );
    let newest = play
        .stage
        .client
        .get("/v1/webhooks/deliveries?limit=1")
        .await
        .json();
    assert_eq!(newest["items"][0]["replay_of_delivery_id"], last);
}

#[tokio::test]
async fn what_is_refused_does_not_depend_on_the_id_that_names_the_request() {
    let mut play = Play::start().await;
    let waiting = play.stage.replay(&play.request_id).await.expect_status(200);
    let waiting = text(&waiting.json()["id"]);
    for id in [play.request_id.clone(), waiting.clone()] {
        let path = redeliver_path(&play.hook_id, &id);
        let answer = play.redeliver(&path, Played::Answered(200)).await;
        let object = answer.expect_status(200).json();
        assert_eq!(object["id"], play.request_id, "{id}");
        assert_eq!(object["response_status"], 200);
    }
    assert_eq!(
        code(play.stage.replay(&waiting).await, 409),
        "delivery_not_finished",
        "A's family means the one delivery"
    );
    // By the id of another hook it is not there, however it stands.
    let other = redeliver_path(UNKNOWN_ID, &waiting);
    assert_eq!(
        code(play.stage.client.post_empty(&other).await, 404),
        "not_found"
    );
}

#[tokio::test]
async fn receiver_that_cannot_be_reached_is_answered_at_once_without_a_status() {
    let mut play = Play::start().await;
    let path = play.path();
    let object = play
        .redeliver(&path, Played::Unreachable)
        .await
        .expect_status(200)
        .json();
    assert_is_of_reference_b(&object);
    assert_eq!(object["response_status"], Value::Null);
    assert_eq!(object["response_duration_ms"], 293);
}

#[tokio::test]
async fn recorded_attempt_is_heard_of_and_not_only_looked_for() {
    /// Without a word from the recorder the API looks 100 ms after the call, then every second.
    const FIRST_LOOK_IS_OVER: Duration = Duration::from_millis(250);
    const LESS_THAN_A_LOOK: Duration = Duration::from_millis(600);
    let mut play = Play::start().await;
    let path = play.path();
    let mut latencies = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let client = play.stage.client.clone();
        let calling = async {
            (
                client.post_empty(&path).await.expect_status(200),
                Instant::now(),
            )
        };
        let playing = async {
            let claim = play.dispatcher.claim_express().await;
            tokio::time::sleep_until(began + FIRST_LOOK_IS_OVER).await;
            play.dispatcher.finish(&claim, Played::Answered(200)).await;
            Instant::now()
        };
        let ((_, answered_at), recorded_at) = tokio::join!(calling, playing);
        latencies.push(answered_at.saturating_duration_since(recorded_at));
    }
    let best = latencies.iter().min().expect("five of them");
    assert!(*best < LESS_THAN_A_LOOK, "{latencies:?}");
}

#[tokio::test]
async fn wait_that_ends_first_is_answered_with_nulls_and_the_delivery_goes_on() {
    let mut play = Play::start().await;
    let waiting = play.stage.client.header("Prefer", "wait=1");
    let answer = waiting.post_empty(&play.path()).await.expect_status(200);
    assert_eq!(answer.header("preference-applied"), Some("wait=1"));
    let object = answer.json();
    assert_is_of_reference_b(&object);
    assert_eq!(object["response_status"], Value::Null);
    assert_eq!(object["response_duration_ms"], Value::Null);
    let claim = play.dispatcher.play_express(Played::Answered(200)).await;
    assert_eq!(object["delivery_id"], claim.attempt_id.to_string());
    let replay = play.stage.delivery(&claim.delivery_id.to_string()).await;
    assert_eq!(replay["status"], "delivered");
    let capped = play.stage.client.header("Prefer", "wait=86400");
    let path = play.path();
    let (answer, _) = tokio::join!(
        capped.post_empty(&path),
        play.dispatcher.play_express(Played::Answered(200))
    );
    assert_eq!(answer.header("preference-applied"), Some("wait=30"));
}

#[tokio::test]
async fn redelivery_goes_ahead_of_any_backlog() {
    let mut play = Play::start().await;
    let mut conn = play.stage.database.connect().await;
    let tenant_id: TenantId = play.stage.tenant.tenant_id.parse().expect("an id");
    let subscriptions = subscriptions::list(&mut conn, tenant_id)
        .await
        .expect("subscriptions");
    for _ in 0..1_000 {
        let event = NewEvent {
            id: EventId::new(),
            event_type: EventType::parse("a").expect("a type"),
            event_group: None,
            payload: b"1".to_vec(),
        };
        publish(&mut conn, tenant_id, &subscriptions, &[event])
            .await
            .expect("it is stored");
    }
    let path = play.path();
    let object = play
        .redeliver(&path, Played::Answered(200))
        .await
        .expect_status(200)
        .json();
    assert_eq!(object["response_status"], 200);
    assert_eq!(
        rows::count(&mut conn, "delivery_queue WHERE due_at IS NULL").await,
        1_000
    );
    assert_eq!(
        play.dispatcher.claim_ready(2_000).await.len(),
        1_000,
        "the backlog itself waits its turn"
    );
}

#[tokio::test]
async fn two_calls_at_once_each_get_their_own_answer() {
    let mut play = Play::start().await;
    let path = play.path();
    let client = play.stage.client.clone();
    let playing = async {
        let [first, second] = &play.dispatcher.claim_all_express(2).await[..] else {
            panic!("two were asked for");
        };
        // The later one is answered first.
        play.dispatcher.finish(second, Played::Answered(202)).await;
        play.dispatcher.finish(first, Played::Answered(201)).await;
        [first.attempt_id.to_string(), second.attempt_id.to_string()]
    };
    let (one, other, attempts) =
        tokio::join!(client.post_empty(&path), client.post_empty(&path), playing);
    let mut answers = [one, other].map(|answer| {
        let object = answer.expect_status(200).json();
        (
            object["response_status"].as_u64(),
            text(&object["delivery_id"]),
        )
    });
    answers.sort();
    let [first, second] = attempts;
    assert_eq!(answers, [(Some(201), first), (Some(202), second)]);
}

#[tokio::test]
async fn double_click_makes_one_redelivery_and_both_get_the_answer() {
    let mut play = Play::start().await;
    let path = play.path();
    let client = play.stage.client.header("Idempotency-Key", "click");
    let (one, other, _) = tokio::join!(
        client.post_empty(&path),
        client.post_empty(&path),
        play.dispatcher.play_express(Played::Answered(200))
    );
    let late = client.post_empty(&path).await;
    for answer in [&one, &other, &late] {
        assert_eq!(answer.json()["response_status"], 200);
        assert_eq!(answer.body, one.body);
    }
    let mut conn = play.stage.database.connect().await;
    assert_eq!(rows::count(&mut conn, "deliveries").await, 2);
}

#[tokio::test]
async fn hook_and_request_that_are_not_the_tenants_or_not_of_each_other_are_not_found() {
    let play = Play::start().await;
    let other_hook = play.stage.endpoint(json!({})).await;
    let stranger = play.stage.stranger().await;
    let unknown = redeliver_path(UNKNOWN_ID, UNKNOWN_ID);
    let unknown = stranger.post_empty(&unknown).await.expect_status(404);
    let (hook, request) = (play.hook_id.as_str(), play.request_id.as_str());
    let foreign = stranger.post_empty(&play.path()).await;
    assert_eq!((foreign.status, &foreign.body), (404, &unknown.body));
    for (hook, request) in [
        (other_hook.as_str(), request),
        (hook, UNKNOWN_ID),
        (UNKNOWN_ID, request),
        (hook, "x"),
        ("x", request),
        (request, hook),
        ("x", "y"),
    ] {
        let answer = play
            .stage
            .client
            .post_empty(&redeliver_path(hook, request))
            .await;
        assert_eq!(
            (answer.status, &answer.body),
            (404, &unknown.body),
            "{hook} {request}"
        );
    }
    let mut conn = play.stage.database.connect().await;
    assert_eq!(
        rows::count(&mut conn, "deliveries").await,
        1,
        "nothing was made"
    );
}

#[tokio::test]
async fn redelivering_needs_credentials_and_the_scope_to_write() {
    let play = Play::start().await;
    let anonymous = play.stage.api.anonymous();
    let answer = anonymous.post_empty(&play.path()).await;
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    assert_eq!(code(answer, 401), "not_authenticated");
    let reader = play.stage.token("webhooks:read").await;
    let answer = anonymous.bearer(&reader).post_empty(&play.path()).await;
    assert_eq!(code(answer, 403), "insufficient_scope");
}

#[tokio::test]
async fn rules_of_replaying_hold_for_redelivering() {
    let mut play = Play::start().await;
    let pending = play.stage.deliver("a").await;
    let path = redeliver_path(&play.hook_id, &pending);
    assert_eq!(
        code(play.stage.client.post_empty(&path).await, 409),
        "delivery_not_finished"
    );
    play.stage
        .change_endpoint(&play.hook_id, json!({"enabled": false}))
        .await;
    let path = play.path();
    assert_eq!(
        code(play.stage.client.post_empty(&path).await, 409),
        "endpoint_disabled"
    );
    play.stage
        .change_endpoint(&play.hook_id, json!({"enabled": true}))
        .await;
    let _ = play
        .redeliver(&path, Played::Answered(200))
        .await
        .expect_status(200);
}

#[tokio::test]
async fn requests_of_a_deleted_hook_and_of_an_expired_payload_are_not_redelivered() {
    let play = Play::start().await;
    let mut conn = play.stage.database.connect().await;
    let expire = "DELETE FROM events";
    conn.batch_execute(expire)
        .await
        .expect("retention may come");
    let path = play.path();
    assert_eq!(
        code(play.stage.client.post_empty(&path).await, 410),
        "payload_expired"
    );
    play.stage.delete_endpoint(&play.hook_id).await;
    assert_eq!(
        code(play.stage.client.post_empty(&path).await, 409),
        "endpoint_disabled"
    );
}

#[tokio::test]
async fn calls_that_wait_are_bounded_per_tenant() {
    let mut play = Play::start().await;
    let path = play.path();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..70 {
        let (client, path) = (play.stage.client.clone(), path.clone());
        calls.spawn(async move { client.post_empty(&path).await });
    }
    let mut refused = Vec::new();
    while refused.len() < 6 {
        let answer = calls.join_next().await.expect("more").expect("no panic");
        assert_eq!(answer.header("retry-after"), Some("2"));
        refused.push(code(answer, 429));
    }
    assert!(refused.iter().all(|code| code == "too_many_waiting"));
    for claim in play.dispatcher.claim_all_express(64).await {
        play.dispatcher.finish(&claim, Played::Answered(200)).await;
    }
    for answer in calls.join_all().await {
        let _ = answer.expect_status(200);
    }
    let object = play
        .redeliver(&path, Played::Answered(200))
        .await
        .expect_status(200)
        .json();
    assert_eq!(object["response_status"], 200, "the places were given back");
}
