//! What receivers get of what callers ask the API for, with a real dispatcher between them.

use std::time::Duration;

use reprise_testkit::fixture::{
    Dispatcher, create_endpoint, deliveries_of, publish, wait_for_delivery,
};
use reprise_testkit::polling::poll_until;
use reprise_testkit::receiver::{Answer, Received, Receiver};
use reprise_testkit::verify::{verify_plain, verify_standard};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcDateTime};

use crate::stage::{Stage, text};

const PATIENCE: Duration = Duration::from_secs(30);

/// Publishes an event and returns its one delivery.
async fn deliver(stage: &Stage, payload: Value) -> Value {
    let event = publish(&stage.client, "invoice.paid", payload).await;
    deliveries_of(&stage.client, &text(&event["id"]))
        .await
        .remove(0)
}

/// Publishes an event and returns what the receiver got of it.
async fn next(stage: &Stage, receiver: &Receiver) -> Received {
    let before = receiver.received().len();
    deliver(stage, json!({"n": before})).await;
    receiver.wait_for(before + 1, PATIENCE).await.remove(before)
}

async fn rotate(stage: &Stage, id: &str, body: Value) -> String {
    let path = format!("/v1/webhooks/endpoints/{id}/rotate-secret");
    let rotated = stage.client.post(&path, &body).await.expect_status(200);
    text(&rotated.json()["secret"])
}

fn timestamp(received: &Received) -> i64 {
    let header = received.header("webhook-timestamp").expect("a timestamp");
    header.parse().expect("Unix seconds")
}

fn instant(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(&text(value), &Rfc3339).expect("an instant")
}

#[tokio::test]
async fn schemes_with_one_signature_keep_the_old_secret_until_an_overlap_that_was_asked_for_ends() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let _dispatcher = Dispatcher::start(stage.database.url()).await;
    let signature = json!({"scheme": "timestamped", "header": "X-Sig"});
    let extra = json!({"signature": signature});
    let made = create_endpoint(&stage.client, &receiver.url("/"), extra).await;
    let (id, first) = (text(&made["id"]), text(&made["secret"]));
    let is_signed =
        |secret: &str, received: &Received| verify_plain(secret, received, "X-Sig").is_ok();
    assert!(is_signed(&first, &next(&stage, &receiver).await));

    let second = rotate(&stage, &id, json!({})).await;
    let received = next(&stage, &receiver).await;
    assert!(
        is_signed(&second, &received),
        "nothing was asked for: at once"
    );

    let third = rotate(&stage, &id, json!({"overlap_seconds": 2})).await;
    assert!(
        is_signed(&second, &next(&stage, &receiver).await),
        "the overlap has begun"
    );
    let ended = poll_until(PATIENCE, async || {
        let received = next(&stage, &receiver).await;
        let is_new = is_signed(&third, &received);
        assert!(
            is_new || is_signed(&second, &received),
            "one of the two signs"
        );
        is_new.then_some(())
    });
    ended
        .await
        .expect("the new secret signs when the overlap has ended");
}

#[tokio::test]
async fn replay_brings_the_same_event_signed_anew_to_where_the_endpoint_is_now() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let _dispatcher = Dispatcher::start(stage.database.url()).await;
    let extra = json!({"headers": {"X-Old": "1"}});
    let made = create_endpoint(&stage.client, &receiver.url("/old"), extra).await;
    let (id, old_secret) = (text(&made["id"]), text(&made["secret"]));
    let original = deliver(&stage, json!({"amount": 1999, "note": "\u{e4}"})).await;
    let original_id = text(&original["id"]);
    let first = receiver.wait_for(1, PATIENCE).await.remove(0);
    let is_delivered = |delivery: &Value| delivery["status"] == "delivered";
    wait_for_delivery(&stage.client, &original_id, is_delivered, PATIENCE).await;
    let new_secret = rotate(&stage, &id, json!({"overlap_seconds": 0})).await;
    let change = json!({"url": receiver.url("/new"), "headers": {"X-New": "2"}});
    stage.change_endpoint(&id, change).await;
    let later = poll_until(PATIENCE, async || {
        (UtcDateTime::now().unix_timestamp() > timestamp(&first)).then_some(())
    });
    later.await.expect("the clock goes on");

    let replayed = stage.replay(&original_id).await.expect_status(200).json();
    let second = receiver.wait_for(2, PATIENCE).await.remove(1);
    assert_eq!(
        (first.path.as_str(), second.path.as_str()),
        ("/old", "/new")
    );
    assert_eq!(second.body, first.body);
    assert_eq!(second.header("webhook-id"), first.header("webhook-id"));
    assert!(timestamp(&second) > timestamp(&first));
    verify_standard(&new_secret, &second).expect("signed with the secret that it has now");
    assert!(verify_standard(&old_secret, &second).is_err());
    assert_eq!(
        (second.header("x-old"), second.header("x-new")),
        (None, Some("2"))
    );
    let header = |name| second.header(name).map(str::to_owned);
    assert_eq!(header("webhook-replay-of"), Some(original_id));
    assert_eq!(header("webhook-delivery-id"), Some(text(&replayed["id"])));
    assert_eq!(header("webhook-attempt").as_deref(), Some("1"));
}

#[tokio::test]
async fn retry_has_the_same_id_and_body_and_a_timestamp_and_signature_of_its_own() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    receiver.answer([Answer::status(500), Answer::status(200)]);
    let _dispatcher = Dispatcher::start(stage.database.url()).await;
    let extra = json!({"retry_schedule": [1]});
    let made = create_endpoint(&stage.client, &receiver.url("/"), extra).await;
    let delivery = deliver(&stage, json!({})).await;
    let received = receiver.wait_for(2, PATIENCE).await;
    let (first, second) = (&received[0], &received[1]);
    for name in ["webhook-id", "webhook-delivery-id"] {
        assert_eq!(first.header(name), second.header(name), "{name}");
    }
    assert_eq!(first.header("webhook-id"), delivery["event_id"].as_str());
    assert_eq!(first.body, second.body);
    assert!(timestamp(second) > timestamp(first));
    for (attempt, received) in [("1", first), ("2", second)] {
        assert_eq!(received.header("webhook-attempt"), Some(attempt));
        verify_standard(&text(&made["secret"]), received).expect("signed");
    }
    assert_ne!(
        first.header("webhook-signature"),
        second.header("webhook-signature")
    );
}

#[tokio::test]
async fn retry_after_delays_in_seconds_and_as_a_date_and_never_hastens() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let _dispatcher = Dispatcher::start(stage.database.url()).await;
    let extra = json!({"retry_schedule": [600]});
    create_endpoint(&stage.client, &receiver.url("/"), extra).await;
    let in_an_hour = OffsetDateTime::now_utc() + Duration::from_hours(1);
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let date = in_an_hour.format(format).expect("an HTTP date");
    for (status, hint, expected) in [
        (429, "7200", 7_200),
        (503, date.as_str(), 3_600),
        (429, "1", 600),
        (503, "9999999", 86_400),
        (500, "7200", 600),
    ] {
        receiver.answer(Answer::status(status).header("retry-after", hint));
        let id = text(&deliver(&stage, json!({})).await["id"]);
        let is_retrying = |delivery: &Value| delivery["status"] == "retrying";
        let waiting = wait_for_delivery(&stage.client, &id, is_retrying, PATIENCE).await;
        let delay = instant(&waiting["next_retry_at"]) - instant(&waiting["last_attempt_at"]);
        let longest = expected + expected / 5 + 5;
        // A date has whole seconds.
        let bounds = (expected - 5)..=longest;
        assert!(
            bounds.contains(&delay.whole_seconds()),
            "{status} {hint}: {delay}"
        );
    }
}
