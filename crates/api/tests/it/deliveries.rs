//! Reading deliveries: filters, pages, one of them, and its attempts.

use std::collections::HashSet;

use reprise_testkit::http::Method;
use serde_json::{Value, json};

use crate::played_dispatcher::{Played, PlayedDispatcher};
use crate::stage::{Stage, UNKNOWN_ID, code, faults, text};

const PATH: &str = "/v1/webhooks/deliveries";

async fn list(stage: &Stage, query: &str) -> Vec<String> {
    let page = stage
        .client
        .get(&format!("{PATH}?{query}"))
        .await
        .expect_status(200)
        .json();
    assert_eq!(
        page.as_object().map(|page| page.len()),
        Some(2),
        "never a total count"
    );
    assert_eq!(page["next_cursor"], Value::Null);
    page["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|one| text(&one["id"]))
        .collect()
}

/// A delivery in each status, by its name.
async fn one_of_each(
    stage: &Stage,
    dispatcher: &mut PlayedDispatcher,
) -> [(&'static str, String); 7] {
    let endpoint = stage.endpoint(json!({})).await;
    let delivered = stage.attempted(dispatcher, Played::Answered(201)).await;
    let failed = stage
        .attempted(dispatcher, Played::AnsweredAtLast(404))
        .await;
    let retrying = stage.attempted(dispatcher, Played::Answered(500)).await;
    let delivering = stage.deliver("a").await;
    assert_eq!(dispatcher.claim_ready(10).await.len(), 1);
    let pending = stage.deliver("a").await;
    stage
        .change_endpoint(&endpoint, json!({"enabled": false}))
        .await;
    let skipped = stage.deliver("a").await;
    let back = json!({"enabled": true, "event_patterns": ["other"]});
    stage.change_endpoint(&endpoint, back).await;
    let doomed = stage.endpoint(json!({"event_patterns": ["doomed"]})).await;
    let canceled = stage.deliver("doomed").await;
    stage.delete_endpoint(&doomed).await;
    dispatcher.settle().await;
    [
        ("pending", pending),
        ("delivering", delivering),
        ("retrying", retrying),
        ("delivered", delivered),
        ("failed", failed),
        ("canceled", canceled),
        ("skipped", skipped),
    ]
}

#[tokio::test]
async fn each_status_is_found_by_its_name() {
    let stage = Stage::start().await;
    let mut dispatcher = stage.dispatcher().await;
    let all = one_of_each(&stage, &mut dispatcher).await;
    for (status, id) in &all {
        let found = list(&stage, &format!("status={status}")).await;
        assert_eq!(found, [id.as_str()], "{status}");
        assert_eq!(stage.delivery(id).await["status"], *status);
    }
    assert_eq!(list(&stage, "").await.len(), all.len());
}

#[tokio::test]
async fn deliveries_are_found_by_their_final_answer() {
    let stage = Stage::start().await;
    let endpoint = stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let delivered = stage
        .attempted(&mut dispatcher, Played::Answered(201))
        .await;
    let failed = stage
        .attempted(&mut dispatcher, Played::AnsweredAtLast(404))
        .await;
    stage
        .attempted(&mut dispatcher, Played::Answered(500))
        .await;
    assert_eq!(list(&stage, "http_status=404").await, [failed.as_str()]);
    assert_eq!(list(&stage, "http_status=201").await, [delivered.as_str()]);
    let unfinished = list(&stage, "http_status=500").await;
    assert!(unfinished.is_empty(), "it is not final yet");
    let several = format!("http_status=404&status=failed&endpoint_id={endpoint}");
    assert_eq!(list(&stage, &several).await, [failed.as_str()]);
    let contrary = list(&stage, "http_status=404&status=delivered").await;
    assert!(contrary.is_empty());
}

#[tokio::test]
async fn deliveries_are_found_by_what_they_bring_and_where_to() {
    let stage = Stage::start().await;
    let endpoint = stage.endpoint(json!({"event_patterns": ["a.b"]})).await;
    let other = stage.endpoint(json!({"event_patterns": ["a:c"]})).await;
    let group = json!({"event_type": "a.b", "event_group": "customer 7 & Söhne", "payload": 1});
    let _ = stage
        .client
        .post("/v1/webhooks/events", &group)
        .await
        .expect_status(202);
    let first = list(&stage, "").await[0].clone();
    let second = stage.deliver("a:c").await;
    let mut dispatcher = stage.dispatcher().await;
    for claim in dispatcher.claim_ready(10).await {
        dispatcher.finish(&claim, Played::Answered(500)).await;
    }
    let replay = text(&stage.replay(&first).await.expect_status(200).json()["id"]);
    assert_eq!(
        list(&stage, &format!("endpoint_id={other}")).await,
        [second.as_str()]
    );
    assert_eq!(
        list(&stage, &format!("endpoint_id={endpoint}")).await,
        [replay.as_str(), first.as_str()]
    );
    assert!(
        list(&stage, &format!("endpoint_id={UNKNOWN_ID}"))
            .await
            .is_empty()
    );
    assert_eq!(list(&stage, "event_type=a%3Ac").await, [second.as_str()]);
    assert!(
        list(&stage, "event_type=a.c").await.is_empty(),
        "types are compared as published"
    );
    let by_group = "event_group=customer+7+%26+S%C3%B6hne";
    assert_eq!(
        list(&stage, by_group).await,
        [replay.as_str(), first.as_str()]
    );
    assert_eq!(
        list(&stage, &format!("replay_of={first}")).await,
        [replay.as_str()]
    );
    assert!(
        list(&stage, &format!("replay_of={second}"))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn deliveries_are_found_by_when_they_were_made() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(stage.deliver("a").await);
    }
    let middle = text(&stage.delivery(&made[1]).await["created_at"]);
    let later = [made[2].as_str(), made[1].as_str()];
    assert_eq!(
        list(&stage, &format!("created_after={middle}")).await,
        later
    );
    assert_eq!(
        list(&stage, &format!("created_before={middle}")).await,
        [made[0].as_str()]
    );
    let offset = middle.replace('Z', "%2B00:00");
    assert_eq!(
        list(&stage, &format!("created_after={offset}")).await,
        later
    );
    let without_offset = middle.replace('Z', "");
    assert_eq!(
        list(&stage, &format!("created_after={without_offset}")).await,
        later
    );
    assert_eq!(list(&stage, "created_after=2026-01-01").await.len(), 3);
    let unescaped = middle.replace('Z', "+00:00");
    assert_eq!(
        list(&stage, &format!("created_after={unescaped}")).await,
        later
    );
    assert!(
        list(&stage, "created_before=1970-01-01T00:00:00Z")
            .await
            .is_empty()
    );
    assert!(
        list(&stage, "created_after=9999-12-31T23:59:59.999999Z")
            .await
            .is_empty()
    );
    assert_eq!(
        list(&stage, "created_before=9999-12-31T23:59:59.999999Z")
            .await
            .len(),
        3
    );
}

#[tokio::test]
async fn faults_of_a_query_are_told_all_at_once() {
    let stage = Stage::start().await;
    let query = "endpoint_id=x&status=done&event_type=a+b&event_group=&created_after=yesterday\
                 &created_before=0001-01-01T00:00:00Z&http_status=99&replay_of=7&limit=0&cursor=x&unknown=1";
    assert_eq!(
        faults(stage.client.get(&format!("{PATH}?{query}")).await),
        [
            "query.created_after: datetime_parsing",
            "query.created_before: datetime_parsing",
            "query.cursor: value_error",
            "query.endpoint_id: uuid_parsing",
            "query.event_group: value_error",
            "query.event_type: value_error",
            "query.http_status: greater_than_equal",
            "query.limit: greater_than_equal",
            "query.replay_of: uuid_parsing",
            "query.status: enum",
        ]
    );
}

#[tokio::test]
async fn instants_beyond_the_calendar_are_faults_and_nothing_worse() {
    let stage = Stage::start().await;
    for instant in [
        "9999-12-31T23:59:59-23:59",
        "1970-01-01T00:00:00%2B23:59",
        "0000-01-01T00:00:00%2B23:59",
        "2024-02-30T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T23:59:60Z",
        "2024-01",
        "",
        "%00",
        "%FF",
    ] {
        for field in ["created_after", "created_before"] {
            let path = format!("{PATH}?{field}={instant}");
            let answer = stage.client.try_send(Method::GET, &path, None).await;
            let answer = answer.unwrap_or_else(|error| panic!("{instant}: {error:#}"));
            let fault = format!("query.{field}: datetime_parsing");
            assert_eq!(faults(answer), [fault], "{instant}");
        }
    }
}

#[tokio::test]
async fn pages_have_no_gap_and_no_double_while_new_deliveries_come() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut made = Vec::new();
    for _ in 0..120 {
        made.push(stage.publish("a").await);
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut query = "limit=17".to_owned();
    loop {
        let page = stage
            .client
            .get(&format!("{PATH}?{query}"))
            .await
            .expect_status(200)
            .json();
        let items = page["items"].as_array().expect("items");
        seen.extend(items.iter().map(|one| text(&one["event_id"])));
        stage.publish("a").await;
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        assert_eq!(items.len(), 17);
        query = format!("limit=17&cursor={cursor}");
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn cursor_is_good_for_its_own_list_and_tenant_only() {
    let stage = Stage::start().await;
    for _ in 0..3 {
        stage.endpoint(json!({})).await;
    }
    stage.publish("a").await;
    let page = stage.client.get(&format!("{PATH}?limit=1")).await.json();
    let cursor = text(&page["next_cursor"]);
    let path = format!("{PATH}?limit=1&cursor={cursor}");
    let _ = stage.client.get(&path).await.expect_status(200);
    let stranger = stage.stranger().await;
    assert_eq!(
        faults(stranger.get(&path).await),
        ["query.cursor: value_error"]
    );
    let endpoints = stage.client.get("/v1/webhooks/endpoints?limit=1").await;
    let link = endpoints.header("link").expect("more").to_owned();
    let (_, foreign) = link.split_once("cursor=").expect("a cursor");
    let (foreign, _) = foreign.split_once('>').expect("an end");
    let mut changed = cursor.clone().into_bytes();
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).expect("ASCII");
    for bad in [
        foreign,
        &changed,
        "",
        "%00",
        &cursor[1..],
        &"A".repeat(4_000),
    ] {
        let answer = stage.client.get(&format!("{PATH}?cursor={bad}")).await;
        assert_eq!(faults(answer), ["query.cursor: value_error"], "{bad}");
    }
}

#[tokio::test]
async fn attempts_are_listed_in_their_order_with_what_came_back() {
    let stage = Stage::start().await;
    stage.endpoint(json!({"retry_schedule": [0, 0, 0]})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage.deliver("a").await;
    let path = format!("{PATH}/{id}/attempts");
    assert_eq!(
        stage.client.get(&path).await.expect_status(200).json(),
        json!({"items": []})
    );
    dispatcher.play_one(Played::Unreachable).await;
    let retrying = stage.delivery(&id).await;
    assert_eq!(retrying["status"], "retrying");
    assert!(retrying["next_retry_at"].is_string() && retrying["last_attempt_at"].is_string());
    assert_eq!(
        (&retrying["scheduled_attempt"], &retrying["attempt_count"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(retrying["final_http_status"], Value::Null);
    make_due(&stage).await;
    play_due(&mut dispatcher, Played::Answered(200)).await;

    let delivered = stage.delivery(&id).await;
    assert_eq!(delivered["status"], "delivered");
    assert_eq!(
        (&delivered["scheduled_attempt"], &delivered["attempt_count"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(delivered["final_http_status"], 200);
    assert_eq!(delivered["error_message"], Value::Null);
    assert!(delivered["delivered_at"].is_string() && delivered["next_retry_at"].is_null());

    let attempts = stage.client.get(&path).await.expect_status(200).json();
    let items = attempts["items"].as_array().expect("items");
    let ids: HashSet<String> = items.iter().map(|one| text(&one["id"])).collect();
    assert_eq!(ids.len(), 2);
    let mut shown = items.clone();
    for one in &mut shown {
        let fields = one.as_object_mut().expect("an object");
        assert!(
            fields
                .remove("started_at")
                .is_some_and(|instant| instant.is_string())
        );
        fields.remove("id");
    }
    assert_eq!(
        shown,
        [
            json!({
                "number": 1, "duration_ms": 293, "request_headers": {"webhook-attempt": "1"},
                "response_status": null, "response_headers": null, "response_body": null,
                "response_body_truncated": false, "error_kind": "connect",
                "error_message": "it was played as Unreachable", "remote_ip": "127.0.0.1",
            }),
            json!({
                "number": 2, "duration_ms": 293, "request_headers": {"webhook-attempt": "1"},
                "response_status": 200, "response_headers": {"content-type": "text/plain"},
                "response_body": "thanks \u{fffd}", "response_body_truncated": false,
                "error_kind": null, "error_message": null, "remote_ip": "127.0.0.1",
            }),
        ]
    );
}

/// Moves the clock of what waits for its retry.
async fn make_due(stage: &Stage) {
    use diesel_async::SimpleAsyncConnection;
    let mut conn = stage.database.connect().await;
    conn.batch_execute(
        "UPDATE delivery_queue SET due_at = now() WHERE lease_token IS NULL AND due_at IS NOT NULL",
    )
    .await
    .expect("the queue can be changed");
    reprise_core::store::delivery_queue::promote_due(&mut conn, 100)
        .await
        .expect("promoting works");
}

async fn play_due(dispatcher: &mut PlayedDispatcher, played: Played) {
    let claim = dispatcher.play_one(played).await;
    assert_eq!(claim.attempt_number, 2);
}

#[tokio::test]
async fn unknown_delivery_is_not_found() {
    let stage = Stage::start().await;
    for path in [
        format!("{PATH}/{UNKNOWN_ID}"),
        format!("{PATH}/{UNKNOWN_ID}/attempts"),
    ] {
        assert_eq!(code(stage.client.get(&path).await, 404), "not_found");
    }
}
