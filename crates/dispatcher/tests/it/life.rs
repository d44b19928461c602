//! The life of a delivery: first try, retries, its end.

use std::time::Duration;

use reprise_core::delivery::DeliveryStatus;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Dispatcher;
use reprise_testkit::receiver::Receiver;
use reprise_testkit::verify::verify_standard;

use crate::world::{PATIENCE, World, settings};

#[tokio::test]
async fn first_try_delivers_the_exact_bytes_with_a_signature_that_verifies() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let _dispatcher = Dispatcher::start(database.url()).await;
    let wanted = settings(&receiver.url("/hook?token=1"));
    let endpoint = world.endpoint(&wanted).await;
    let payload = br#" {"b":1,  "a":"\u0000", "a":2} "#;
    let event = world.publish(payload).await;

    let received = receiver.wait_for(1, PATIENCE).await;
    let delivery = world
        .wait_for_status(endpoint, DeliveryStatus::Delivered)
        .await;
    let request = &received[0];
    assert_eq!(request.body.as_ref(), payload);
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/hook?token=1")
    );
    verify_standard(wanted.secret.expose(), request).expect("the signature verifies");
    let version = concat!("Reprise/", env!("CARGO_PKG_VERSION"));
    for (name, value) in [
        ("webhook-id", event.to_string().as_str()),
        ("webhook-delivery-id", &delivery.id.to_string()),
        ("webhook-attempt", "1"),
        ("webhook-event-type", "invoice.paid"),
        ("content-type", "application/json"),
        ("user-agent", version),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert_eq!(request.header("webhook-replay-of"), None);
    assert_eq!(
        (delivery.attempt_count, delivery.final_http_status),
        (1, Some(200))
    );
    assert!(delivery.delivered_at.is_some());
    assert_eq!(receiver.received().len(), 1);
    let _ = Duration::ZERO;
}
