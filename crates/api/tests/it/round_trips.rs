//! How often a request waits for PostgreSQL, once its statements are prepared and its credential was seen.

use std::time::Duration;

use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{Api, Dispatcher, Tenant, create_endpoint};
use reprise_testkit::http::{Client, Response};
use reprise_testkit::polling::poll_until;
use reprise_testkit::receiver::Receiver;
use reprise_testkit::wire::Wire;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::played_dispatcher::{Played, PlayedDispatcher};
use crate::stage::{URL, replay_path, text};

/// Longer than anything that goes well takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a request may take that need not ask more often than it may.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// Tries of each cost: the API looks after its own affairs now and then, and takes what the request was allowed.
const TRIES: usize = 8;

/// Waits until the API is done with what it does behind a request's back, such as waking dispatchers.
async fn wait_until_quiet(wire: &Wire) {
    let (mut quiet_looks, mut before) = (0, wire.round_trips());
    let quiet = poll_until(PATIENCE, async || {
        let now = wire.round_trips();
        quiet_looks = if now == before { quiet_looks + 1 } else { 0 };
        before = now;
        (quiet_looks == 3).then_some(())
    });
    quiet.await.expect("the API has nothing to do");
}

/// Asserts that a request is answered when PostgreSQL is asked `count` times and no more. What the API asks besides, or
/// after the answer, is not counted.
///
/// The request is made often enough before that every connection of the pool has its statement: at each try, since one
/// that was stuck has cost its connection.
async fn assert_costs(wire: &Wire, count: usize, what: &str, request: impl AsyncFn() -> Response) {
    for _ in 0..TRIES {
        for _ in 0..TRIES {
            let answer = request().await;
            assert!(answer.status < 300, "{what}: {}", answer.text());
        }
        wait_until_quiet(wire).await;
        wire.close_after(count);
        let answer = timeout(STUCK_AFTER, request()).await;
        wire.open();
        if let Ok(answer) = answer {
            assert!(answer.status < 300, "{what}: {}", answer.text());
            return;
        }
    }
    panic!("{what} costs more round trips than {count}");
}

async fn post(client: &Client, path: &str, body: &Value) -> Value {
    let answer = client.post(path, body).await;
    assert!(answer.status < 300, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn requests_wait_for_postgresql_as_seldom_as_they_can() {
    let database = TestDatabase::create().await;
    let wire = Wire::to(database.url()).await;
    let api = Api::start_with(wire.url(), &[("REPRISE_DATABASE_CONNECTIONS", "2")]).await;
    let tenant = Tenant::create(database.url(), "acme").await;
    let client = api.client(&tenant);
    let endpoint = post(&client, "/v1/webhooks/endpoints", &json!({"url": URL})).await;
    let event = json!({"event_type": "a", "payload": 1});
    let published = post(&client, "/v1/webhooks/events", &event).await;
    let list = client.get("/v1/webhooks/deliveries").await.json();
    let delivery = text(&list["items"][0]["id"]);
    let mut dispatcher = PlayedDispatcher::start(database.url()).await;
    dispatcher.play_one(Played::Answered(200)).await;

    let batch = json!([event, event]);
    for (path, body) in [
        ("/v1/webhooks/events", &event),
        ("/v1/webhooks/events/batch", &batch),
    ] {
        assert_costs(&wire, 1, path, async || client.post(path, body).await).await;
    }
    let (endpoint, event) = (text(&endpoint["id"]), text(&published["id"]));
    for path in [
        "/v1/webhooks/deliveries".to_owned(),
        format!("/v1/webhooks/deliveries?endpoint_id={endpoint}&status=delivered"),
        format!("/v1/webhooks/deliveries/{delivery}"),
        format!("/v1/webhooks/deliveries/{delivery}/attempts"),
        "/v1/webhooks/events?event_type=a".to_owned(),
        format!("/v1/webhooks/events/{event}/deliveries"),
        "/v1/webhooks/endpoints".to_owned(),
        "/hooks".to_owned(),
        format!("/hooks/{endpoint}/requests"),
    ] {
        assert_costs(&wire, 1, &path, async || client.get(&path).await).await;
    }
    let replay = replay_path(&delivery);
    assert_costs(&wire, 1, "replay", async || {
        client.post_empty(&replay).await
    })
    .await;
}

#[tokio::test]
async fn what_is_waited_for_costs_no_look_for_the_answer() {
    let database = TestDatabase::create().await;
    let wire = Wire::to(database.url()).await;
    let api = Api::start_with(wire.url(), &[("REPRISE_DATABASE_CONNECTIONS", "2")]).await;
    let client = api.client(&Tenant::create(database.url(), "acme").await);
    let receiver = Receiver::start().await;
    let _dispatcher = Dispatcher::start(database.url()).await;
    let hook = create_endpoint(&client, &receiver.url("/"), json!({})).await;
    let event = json!({"event_type": "a", "payload": 1});
    post(&client, "/v1/webhooks/events", &event).await;
    receiver.wait_for(1, PATIENCE).await;
    let requests = format!("/hooks/{}/requests", text(&hook["id"]));
    let recorded = poll_until(PATIENCE, async || {
        let list = client.get(&requests).await.json();
        (list[0]["response_status"] == 200).then(|| text(&list[0]["id"]))
    });
    let id = recorded.await.expect("delivered");
    let redelivered = assert_costs(&wire, 1, "redeliver", async || {
        let answer = client
            .post_empty(&format!("{requests}/{id}/redeliver"))
            .await;
        assert_eq!(answer.json()["response_status"], 200);
        answer
    });
    redelivered.await;
    let waiting = client.header("Prefer", "wait=20");
    // It, and what has become of it.
    let replayed = assert_costs(&wire, 2, "replay", async || {
        let answer = waiting.post_empty(&replay_path(&id)).await;
        assert_eq!(answer.json()["status"], "delivered");
        answer
    });
    replayed.await;
}
