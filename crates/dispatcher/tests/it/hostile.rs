//! Receivers that misbehave, and addresses that must not be reached.

use std::time::Duration;

use reprise_core::attempt::Attempt;
use reprise_core::delivery::{Delivery, DeliveryStatus};
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Dispatcher;
use reprise_testkit::receiver::{Answer, Receiver};

use crate::world::{World, settings};

/// Lets a dispatcher with these variables make one attempt at `url`, and returns what became of it.
async fn attempt_with(environment: &[(&str, &str)], url: &str) -> (Delivery, Attempt) {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let _dispatcher = Dispatcher::start_with(database.url(), environment).await;
    let mut wanted = settings(url);
    wanted.timeout = Duration::from_secs(2);
    let endpoint = world.endpoint(&wanted).await;
    world.publish(b"{}").await;
    let delivery = world
        .wait_for(endpoint, |delivery| delivery.status.is_terminal())
        .await;
    let mut attempts = world.attempts(delivery.id).await;
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    (delivery, attempts.remove(0))
}

fn error_kind(attempt: &Attempt) -> Option<&str> {
    attempt.error.as_ref().map(|error| error.kind.as_str())
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let receiver = Receiver::start().await;
    receiver.answer_on("/from", Answer::redirect(307, &receiver.url("/to")));
    let (delivery, attempt) = attempt_with(&[], &receiver.url("/from")).await;
    assert_eq!(
        (delivery.status, delivery.final_http_status),
        (DeliveryStatus::Failed, Some(307))
    );
    assert_eq!(error_kind(&attempt), Some("http_status"));
    let paths: Vec<_> = receiver
        .received()
        .into_iter()
        .map(|one| one.path)
        .collect();
    assert_eq!(paths, ["/from"]);
}

#[tokio::test]
async fn receiver_that_hangs_times_out() {
    let receiver = Receiver::start().await;
    receiver.answer(Answer::hang());
    let (delivery, attempt) = attempt_with(&[], &receiver.url("/")).await;
    assert_eq!(error_kind(&attempt), Some("timeout"));
    let duration = attempt.duration.expect("measured");
    assert!(
        duration >= Duration::from_secs(2) && duration < Duration::from_secs(5),
        "{duration:?}"
    );
    assert_eq!(delivery.final_http_status, None);
    assert_eq!(attempt.remote_ip, Some(receiver.address().ip()));
}

#[tokio::test]
async fn body_that_drips_times_out_and_what_came_is_kept() {
    let receiver = Receiver::start().await;
    receiver.answer(Answer::drip(Duration::from_millis(50)));
    let (delivery, attempt) = attempt_with(&[], &receiver.url("/")).await;
    assert_eq!(delivery.status, DeliveryStatus::Failed);
    assert_eq!(error_kind(&attempt), Some("timeout"));
    let response = attempt.response.expect("what came");
    assert!(response.body.starts_with(b"..."), "{response:?}");
}

#[tokio::test]
async fn endless_body_is_read_to_the_bound_and_counts_as_an_answer() {
    let receiver = Receiver::start().await;
    receiver.answer(Answer::endless_body());
    let (delivery, attempt) = attempt_with(&[], &receiver.url("/")).await;
    assert_eq!(delivery.status, DeliveryStatus::Delivered);
    let response = attempt.response.expect("a response");
    assert_eq!(
        (response.body.len(), response.body_truncated),
        (16_384, true)
    );
}

#[tokio::test]
async fn gone_counts_although_its_body_never_ends() {
    let receiver = Receiver::start().await;
    receiver.answer(Answer::drip(Duration::from_millis(50)).with_status(410));
    let (delivery, attempt) = attempt_with(&[], &receiver.url("/")).await;
    assert_eq!(delivery.status, DeliveryStatus::Failed);
    assert_eq!(delivery.final_http_status, Some(410));
    assert_eq!(error_kind(&attempt), Some("http_status"));
}

#[tokio::test]
async fn connection_that_is_reset_is_lost() {
    let receiver = Receiver::start().await;
    receiver.answer(Answer::reset());
    let (_, attempt) = attempt_with(&[], &receiver.url("/")).await;
    assert_eq!(error_kind(&attempt), Some("connection_lost"));
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn loopback_is_refused_unless_allowed_as_address_and_as_name() {
    let receiver = Receiver::start().await;
    let port = receiver.address().port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{port}/");
        let (delivery, attempt) = attempt_with(&[("REPRISE_ALLOW_NETWORKS", "")], &url).await;
        assert_eq!(delivery.status, DeliveryStatus::Failed, "{host}");
        assert_eq!(error_kind(&attempt), Some("address_refused"), "{host}");
        assert_eq!(attempt.remote_ip, None);
        let message = attempt.error.expect("an error").message;
        assert!(
            !message.contains("127.0.0.1") && !message.contains("::1"),
            "{message}"
        );
    }
    assert_eq!(receiver.received().len(), 0);
}

#[tokio::test]
async fn http_is_refused_unless_allowed() {
    let receiver = Receiver::start().await;
    let (_, attempt) = attempt_with(&[("REPRISE_ALLOW_HTTP", "false")], &receiver.url("/")).await;
    assert_eq!(error_kind(&attempt), Some("address_refused"));
    assert_eq!(receiver.received().len(), 0);
}

#[tokio::test]
async fn certificate_must_be_of_a_trusted_authority_and_for_the_host() {
    let receiver = Receiver::start_tls(&["localhost"]).await;
    let authority = receiver.ca_pem_path().to_str().expect("a path").to_owned();
    let trusting = [("REPRISE_CA_FILE", authority.as_str())];

    let (delivery, _) = attempt_with(&trusting, &receiver.url("/")).await;
    assert_eq!(delivery.status, DeliveryStatus::Delivered);

    let (_, attempt) = attempt_with(&[], &receiver.url("/")).await;
    assert_eq!(error_kind(&attempt), Some("tls"), "unknown authority");

    let by_address = format!("https://{}/", receiver.address());
    let (_, attempt) = attempt_with(&trusting, &by_address).await;
    assert_eq!(error_kind(&attempt), Some("tls"), "another host");
    assert_eq!(receiver.received().len(), 1);
}
