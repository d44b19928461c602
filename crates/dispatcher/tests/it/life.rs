//! The life of a delivery: first try, retries, its end.

use std::time::Duration;

use reprise_core::custom_headers::CustomHeaders;
use reprise_core::delivery::DeliveryStatus;
use reprise_core::endpoint::{Endpoint, EndpointStatus};
use reprise_core::signing::{
    SchemeName, SchemeOptions, SignaturePrefix, SignatureScheme, SigningSecret, SigningSecrets,
};
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Dispatcher;
use reprise_testkit::receiver::{Answer, Receiver};
use reprise_testkit::verify::verify_standard;

use crate::world::{PATIENCE, World, retries, settings};

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
    verify_standard(wanted.secrets.current().expose(), request).expect("the signature verifies");
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
}

#[tokio::test]
async fn custom_headers_are_sent_and_redacted_in_the_record() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let _dispatcher = Dispatcher::start(database.url()).await;
    let mut wanted = settings(&receiver.url("/"));
    wanted.custom_headers =
        CustomHeaders::parse([("Authorization", "Bearer hunter2")]).expect("valid");
    let options = SchemeOptions {
        prefix: Some(SignaturePrefix::parse("sha256=").expect("valid")),
        ..SchemeOptions::default()
    };
    wanted.signature = SignatureScheme::new(SchemeName::Body, options).expect("valid");
    let secret = SigningSecret::parse_for(&wanted.signature, "key").expect("valid");
    wanted.secrets = SigningSecrets::new(secret);
    let endpoint = world.endpoint(&wanted).await;
    world.publish(b"what do ya want for nothing?").await;

    let received = receiver.wait_for(1, PATIENCE).await;
    assert_eq!(received[0].header("authorization"), Some("Bearer hunter2"));
    let signature = received[0]
        .header("x-signature")
        .expect("signed")
        .to_owned();
    // Computed with: printf 'what do ya want for nothing?' | openssl dgst -sha256 -hmac key
    assert_eq!(
        signature,
        "sha256=8f547faca905d8655cd4fea0f3627558e946959b94bf63d43edb148332ab50de"
    );
    let delivery = world
        .wait_for_status(endpoint, DeliveryStatus::Delivered)
        .await;
    let kept = &world.attempts(delivery.id).await[0].request_headers;
    let value = |wanted: &str| {
        kept.iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(value("authorization"), Some("[redacted]"));
    assert_eq!(value("x-signature"), Some(signature.as_str()));
}

#[tokio::test]
async fn replay_names_the_original_and_keeps_the_event() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let _dispatcher = Dispatcher::start(database.url()).await;
    let endpoint = world.endpoint(&settings(&receiver.url("/"))).await;
    let event = world.publish(b"{}").await;
    let original = world
        .wait_for_status(endpoint, DeliveryStatus::Delivered)
        .await;
    let replay = world.replay_express(original.id).await;

    let received = receiver.wait_for(2, PATIENCE).await;
    let header = |name| received[1].header(name).map(str::to_owned);
    assert_eq!(header("webhook-id"), Some(event.to_string()));
    assert_eq!(header("webhook-delivery-id"), Some(replay.to_string()));
    assert_eq!(header("webhook-replay-of"), Some(original.id.to_string()));
    assert_eq!(header("webhook-attempt"), Some("1".to_owned()));
    world
        .wait_for_all(endpoint, 2, DeliveryStatus::Delivered)
        .await;
}

#[tokio::test]
async fn retries_follow_the_schedule_until_attempts_are_used_up() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    receiver.answer(Answer::status(500).body("broken"));
    let _dispatcher = Dispatcher::start(database.url()).await;
    let mut wanted = settings(&receiver.url("/"));
    wanted.retry = retries(&[Duration::from_secs(1), Duration::from_secs(2)]);
    let endpoint = world.endpoint(&wanted).await;
    world.publish(b"{}").await;

    let delivery = world
        .wait_for_status(endpoint, DeliveryStatus::Failed)
        .await;
    let received = receiver.received();
    let numbers: Vec<_> = received
        .iter()
        .map(|one| one.header("webhook-attempt"))
        .collect();
    assert_eq!(numbers, [Some("1"), Some("2"), Some("3")]);
    for (pair, delay) in received.windows(2).zip([1, 2]) {
        let distance = pair[1].at - pair[0].at;
        assert!(
            distance >= Duration::from_secs(delay),
            "{distance:?} instead of {delay} s"
        );
    }
    assert_eq!(
        (delivery.attempt_count, delivery.final_http_status),
        (3, Some(500))
    );
    let message = delivery.error_message.expect("why");
    assert_eq!(
        message,
        "Gave up after 3 attempts; the last one: The receiver answered 500"
    );
    let attempts = world.attempts(delivery.id).await;
    assert_eq!(attempts.len(), 3);
    let response = attempts[2].response.as_ref().expect("a response");
    assert_eq!(
        (response.status, response.body.as_slice()),
        (500, b"broken".as_slice())
    );
    assert_eq!(attempts[2].remote_ip, Some(receiver.address().ip()));
}

#[tokio::test]
async fn retry_after_only_ever_delays() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let busy = |seconds| Answer::status(503).header("retry-after", seconds);
    receiver.answer_on("/longer", vec![busy("3"), Answer::status(200)]);
    receiver.answer_on("/shorter", vec![busy("0"), Answer::status(200)]);
    let _dispatcher = Dispatcher::start(database.url()).await;
    let mut wanted = settings(&receiver.url("/longer"));
    wanted.retry = retries(&[Duration::ZERO]);
    let longer = world.endpoint(&wanted).await;
    let mut wanted = settings(&receiver.url("/shorter"));
    wanted.retry = retries(&[Duration::from_secs(2)]);
    let shorter = world.endpoint(&wanted).await;
    world.publish(b"{}").await;

    for (endpoint, path, at_least) in [(longer, "/longer", 3), (shorter, "/shorter", 2)] {
        world
            .wait_for_status(endpoint, DeliveryStatus::Delivered)
            .await;
        let received = receiver.received();
        let times: Vec<_> = received
            .iter()
            .filter(|one| one.path == path)
            .map(|one| one.at)
            .collect();
        assert_eq!(times.len(), 2, "{path}");
        let distance = times[1] - times[0];
        assert!(
            distance >= Duration::from_secs(at_least),
            "{path}: {distance:?}"
        );
    }
}

#[tokio::test]
async fn gone_disables_the_endpoint_and_keeps_its_deliveries_back_until_it_is_enabled() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    receiver.answer(vec![
        Answer::status(500),
        Answer::status(410),
        Answer::status(200),
    ]);
    let _dispatcher = Dispatcher::start(database.url()).await;
    let mut wanted = settings(&receiver.url("/"));
    wanted.retry = retries(&[Duration::from_secs(1)]);
    let endpoint = world.endpoint(&wanted).await;
    world.publish(b"1").await;
    world
        .wait_for_status(endpoint, DeliveryStatus::Retrying)
        .await;
    world.publish(b"2").await;
    world.wait_for_kept_back(1).await;

    let deliveries = world.deliveries(endpoint).await;
    assert_eq!(deliveries[0].status, DeliveryStatus::Failed);
    assert_eq!(deliveries[0].final_http_status, Some(410));
    assert_eq!(deliveries[1].status, DeliveryStatus::Retrying);
    assert_eq!(receiver.received().len(), 2);
    let disabled: Endpoint = world.find_endpoint(endpoint).await;
    assert!(
        matches!(disabled.status, EndpointStatus::Disabled { .. }),
        "{disabled:?}"
    );

    world.enable(endpoint).await;
    let received = receiver.wait_for(3, PATIENCE).await;
    assert_eq!(received[2].body.as_ref(), b"1");
}
