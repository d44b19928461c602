//! Calls that publish at the same time share commits, and none of them notices.

use std::collections::HashSet;

use diesel_async::SimpleAsyncConnection;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{Api, Tenant, create_endpoint, deliveries_of, publish};
use reprise_testkit::http::{Client, Response};
use reprise_testkit::sql::Sql;
use reprise_testkit::wire::Wire;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::stage::{Stage, URL, code, text};

const PATH: &str = "/v1/webhooks/events";

/// Publishes an event of each type at once, as different clients do, and returns the answers in order.
async fn publish_at_once(calls: Vec<(Client, String)>) -> Vec<Response> {
    let mut answers = JoinSet::new();
    for (place, (client, event_type)) in calls.into_iter().enumerate() {
        let body = json!({"event_type": event_type, "payload": place});
        answers.spawn(async move { (place, client.post(PATH, &body).await) });
    }
    let mut answers = answers.join_all().await;
    answers.sort_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn created_at(answers: &[Value]) -> HashSet<String> {
    answers
        .iter()
        .map(|answer| text(&answer["created_at"]))
        .collect()
}

#[tokio::test]
async fn calls_at_once_share_commits_and_each_gets_its_own_answer() {
    let stage = Stage::start().await;
    let other = Tenant::create(stage.database.url(), "other").await;
    let clients = [stage.client.clone(), stage.api.client(&other)];
    create_endpoint(&clients[0], URL, json!({"event_patterns": ["a.*"]})).await;
    for pattern in ["a.*", "*"] {
        create_endpoint(&clients[1], URL, json!({"event_patterns": [pattern]})).await;
    }
    let calls = (0..200).map(|n| (clients[n % 2].clone(), format!("a.t{n}")));
    let answers: Vec<Value> = publish_at_once(calls.collect())
        .await
        .into_iter()
        .map(|answer| answer.expect_status(202).json())
        .collect();
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer["event_type"], format!("a.t{n}"));
        assert_eq!(answer["deliveries"], 1 + n % 2);
        let path = format!("{PATH}/{}", text(&answer["id"]));
        let event = clients[n % 2].get(&path).await.expect_status(200).json();
        assert_eq!(event["payload"], n);
        assert_eq!(event["created_at"], answer["created_at"]);
        let strangers = clients[(n + 1) % 2].get(&path).await;
        assert_eq!(strangers.status, 404);
    }
    let commits = created_at(&answers).len();
    assert!(commits < 100, "{commits} commits for 200 events");
}

#[tokio::test]
async fn an_event_that_cannot_be_stored_spoils_none_of_its_neighbours() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let mut conn = stage.database.connect().await;
    conn.batch_execute("ALTER TABLE events ADD CHECK (event_type <> 'bad')")
        .await
        .expect("altered");
    let calls = (0..60).map(|n| {
        let event_type = if n % 20 == 7 { "bad" } else { "good" };
        (stage.client.clone(), event_type.to_owned())
    });
    for (n, answer) in publish_at_once(calls.collect())
        .await
        .into_iter()
        .enumerate()
    {
        if n % 20 == 7 {
            assert_eq!(code(answer, 500), "internal_error");
        } else {
            assert_eq!(answer.expect_status(202).json()["deliveries"], 1);
        }
    }
}

#[tokio::test]
async fn an_endpoint_made_before_a_call_gets_its_event_also_where_the_cache_is_old() {
    let stage = Stage::start().await;
    publish(&stage.client, "a", json!(1)).await;
    // Made by another process: this one's cache knows of none.
    let elsewhere = Api::start(stage.database.url()).await;
    create_endpoint(&elsewhere.client(&stage.tenant), URL, json!({})).await;
    let calls = (0..40).map(|_| (stage.client.clone(), "a".to_owned()));
    for answer in publish_at_once(calls.collect()).await {
        assert_eq!(answer.expect_status(202).json()["deliveries"], 1);
    }
}

#[tokio::test]
async fn an_answer_of_postgresql_that_is_lost_stores_nothing_twice() {
    let database = TestDatabase::create().await;
    let wire = Wire::to(database.url()).await;
    let api = Api::start(wire.url()).await;
    let tenant = Tenant::create(database.url(), "acme").await;
    let client = api.client(&tenant);
    create_endpoint(&client, URL, json!({})).await;
    publish(&client, "before", json!(1)).await;
    wire.lose_answer_to("lost.answer");
    let published = publish(&client, "lost.answer", json!(2)).await;
    assert_eq!(published["deliveries"], 1);
    let id = text(&published["id"]);
    let shown = client
        .get(&format!("{PATH}/{id}"))
        .await
        .expect_status(200)
        .json();
    assert_eq!(shown["created_at"], published["created_at"]);
    assert_eq!(deliveries_of(&client, &id).await.len(), 1);
    let events = client.get(PATH).await.expect_status(200).json();
    assert_eq!(events["items"].as_array().expect("a list").len(), 2);
}

#[tokio::test]
async fn while_postgresql_takes_no_events_those_behind_the_first_ones_are_told_so_untried() {
    let stage = Stage::start().await;
    let sql = Sql::at(stage.database.url());
    // What a sequence counts is not undone with the rest. A disk that is full says so after a while.
    sql.execute(
        "CREATE SEQUENCE tries;
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM nextval('tries'), pg_sleep(0.3);
            RAISE EXCEPTION 'no room' USING ERRCODE = '53100';
         END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse();",
    )
    .await;
    let calls = (0..40).map(|n| (stage.client.clone(), format!("a.t{n}")));
    for answer in publish_at_once(calls.collect()).await {
        assert_eq!(code(answer, 503), "unavailable");
    }
    let tries = sql.number("SELECT last_value FROM tries").await;
    assert!(tries < 20, "{tries} tries for 40 events");
}
