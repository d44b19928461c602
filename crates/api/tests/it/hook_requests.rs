//! What was sent to a hook: one element per event, with its newest attempt.

use diesel_async::SimpleAsyncConnection;
use serde_json::{Value, json};

use crate::played_dispatcher::{DURATION, Played};
use crate::stage::{Stage, UNKNOWN_ID, code, text};

async fn list(stage: &Stage, hook_id: &str) -> Vec<Value> {
    let path = format!("/hooks/{hook_id}/requests");
    let answer = stage.client.get(&path).await.expect_status(200);
    assert_eq!(answer.header("link"), None);
    answer.json().as_array().expect("a list").clone()
}

#[tokio::test]
async fn event_is_one_element_whose_id_stays_through_retries_and_replays() {
    let stage = Stage::start().await;
    let hook_id = stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let older = stage
        .attempted(&mut dispatcher, Played::Answered(201))
        .await;
    let id = stage.deliver("form:sent").await;
    let waiting = list(&stage, &hook_id).await;
    assert_eq!(
        (waiting.len(), &waiting[0]["id"], &waiting[1]["id"]),
        (2, &json!(id), &json!(older))
    );
    assert_eq!(waiting[0]["event"], "form:sent");
    assert_eq!(waiting[0]["redelivery"], false);
    assert_eq!(waiting[0]["response_status"], Value::Null);
    assert_eq!(waiting[1]["response_status"], 201);
    assert_eq!(
        waiting[1]["response_duration_ms"],
        json!(u64::try_from(DURATION.as_millis()).expect("short"))
    );

    let claim = dispatcher.play_one(Played::AnsweredAtLast(500)).await;
    assert_eq!(waiting[0]["delivery_id"], claim.attempt_id.to_string());
    let failed = list(&stage, &hook_id).await;
    assert_eq!(failed[0]["response_status"], 500);
    assert_eq!(
        failed[0]["delivery_id"], waiting[0]["delivery_id"],
        "the attempt that was last"
    );

    let replay = stage.replay(&id).await.expect_status(200).json();
    let queued = list(&stage, &hook_id).await;
    assert_eq!(queued.len(), 2, "a replay is no element of its own");
    assert_eq!(
        (&queued[0]["id"], &queued[0]["redelivery"]),
        (&json!(id), &json!(true))
    );
    assert_eq!(
        queued[0]["response_status"],
        Value::Null,
        "of the newest attempt, which is to come"
    );
    let claim = dispatcher.play_one(Played::Unreachable).await;
    assert_eq!(claim.delivery_id.to_string(), text(&replay["id"]));
    let replayed = list(&stage, &hook_id).await;
    assert_eq!(replayed[0]["id"], id);
    assert_ne!(
        replayed[0]["delivery_id"],
        claim.attempt_id.to_string(),
        "a retry is next"
    );
}

#[tokio::test]
async fn attempt_that_is_next_was_queued_when_the_one_before_had_failed() {
    let stage = Stage::start().await;
    let hook_id = stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage.deliver("a").await;
    let first = list(&stage, &hook_id).await.remove(0);
    assert_eq!(first["enqueued_at"], first["created_at"], "with the event");
    dispatcher.play_one(Played::Answered(500)).await;
    let second = list(&stage, &hook_id).await.remove(0);
    assert_ne!(second["delivery_id"], first["delivery_id"]);
    assert_eq!(second["created_at"], first["created_at"]);
    assert!(
        text(&second["enqueued_at"]) > text(&first["enqueued_at"]),
        "{second}"
    );
    assert_eq!(
        second["enqueued_at"], second["updated_at"],
        "as the failure was recorded"
    );

    let due = "UPDATE delivery_queue SET due_at = NULL";
    stage
        .database
        .connect()
        .await
        .batch_execute(due)
        .await
        .expect("due");
    let claim = dispatcher.play_one(Played::Answered(200)).await;
    let delivered = list(&stage, &hook_id).await.remove(0);
    assert_eq!(delivered["delivery_id"], claim.attempt_id.to_string());
    assert_eq!(
        (
            &delivered["id"],
            &delivered["enqueued_at"],
            &delivered["response_status"]
        ),
        (&json!(id), &second["enqueued_at"], &json!(200))
    );
}

#[tokio::test]
async fn requests_come_in_pages_and_many_replays_do_not_hide_what_is_older() {
    let stage = Stage::start().await;
    let hook_id = stage.endpoint(json!({})).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(stage.deliver("a").await);
    }
    let replays = format!(
        "INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, user_id, event_type, status,
                                 unsuccessful_status, attempt_id, first_delivery_id, replay_of_delivery_id)
         SELECT tenant_id, (lpad(to_hex((extract(epoch FROM now()) * 1000)::int8 + n), 12, '0') || '70008000000000000000')::uuid,
                endpoint_id, event_id, user_id, event_type, 'failed', 'failed', gen_random_uuid(), id, id
         FROM deliveries, generate_series(1, 4500) n WHERE id = '{}'",
        ids[2]
    );
    let mut conn = stage.database.connect().await;
    conn.batch_execute(&replays).await.expect("replayed");
    let mut shown = Vec::new();
    let mut next = Some(format!("/hooks/{hook_id}/requests?limit=2"));
    while let Some(path) = next {
        let page = stage.client.get(&path).await.expect_status(200);
        next = page.header("link").map(|link| {
            let link = link
                .strip_prefix('<')
                .and_then(|link| link.strip_suffix(">; rel=\"next\""));
            link.expect("a link to the next page").to_owned()
        });
        let page = page.json();
        shown.extend(
            page.as_array()
                .expect("a list")
                .iter()
                .map(|one| text(&one["id"])),
        );
    }
    ids.reverse();
    assert_eq!(shown, ids);
}

#[tokio::test]
async fn requests_of_a_deleted_hook_stay_readable_and_of_an_unknown_one_are_404() {
    let stage = Stage::start().await;
    let hook_id = stage.endpoint(json!({})).await;
    assert_eq!(list(&stage, &hook_id).await, [Value::Null; 0]);
    let id = stage.deliver("a").await;
    stage.delete_endpoint(&hook_id).await;
    assert_eq!(list(&stage, &hook_id).await[0]["id"], id);
    let unknown = stage
        .client
        .get(&format!("/hooks/{UNKNOWN_ID}/requests"))
        .await;
    assert_eq!(code(unknown, 404), "not_found");
}

#[tokio::test]
async fn element_has_the_fields_of_reference_b() {
    let stage = Stage::start().await;
    let hook_id = stage.endpoint(json!({})).await;
    stage.deliver("a").await;
    let listed = list(&stage, &hook_id).await;
    let mut names: Vec<_> = listed[0].as_object().expect("an object").keys().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "created_at",
            "delivery_id",
            "enqueued_at",
            "event",
            "hook_id",
            "id",
            "redelivery",
            "response_duration_ms",
            "response_status",
            "tenant_id",
            "updated_at"
        ]
    );
}
