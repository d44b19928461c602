//! Receivers that misbehave, and addresses that must not be reached.

use std::time::Duration;

use reprise_core::attempt::Attempt;
use reprise_core::circuit::Sign;
use reprise_core::delivery::{Delivery, DeliveryStatus};
use reprise_core::event_type::EventType;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Dispatcher;
use reprise_testkit::receiver::{Answer, Receiver};
use rustix::process::{Pid, Resource, getrlimit, prlimit};
use tokio::net::TcpSocket;

use crate::world::{World, retries, settings};

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

const CLOSED: [(&str, &str); 1] = [("REPRISE_ALLOW_NETWORKS", "")];

#[tokio::test]
async fn loopback_is_refused_unless_allowed_as_address_and_as_name() {
    let receiver = Receiver::start().await;
    let port = receiver.address().port();
    for (host, kind) in [
        ("127.0.0.1", "address_refused"),
        ("[::ffff:127.0.0.1]", "address_refused"),
        ("localhost", "dns"),
    ] {
        let url = format!("http://{host}:{port}/");
        let (delivery, attempt) = attempt_with(&CLOSED, &url).await;
        assert_eq!(delivery.status, DeliveryStatus::Failed, "{host}");
        assert_eq!(error_kind(&attempt), Some(kind), "{host}");
        assert_eq!(attempt.remote_ip, None);
        let message = attempt.error.expect("an error").message;
        assert!(
            !message.contains("127.0.0.1") && !message.contains("::1"),
            "{message}"
        );
    }
    assert_eq!(receiver.received().len(), 0);
}

/// All that a tenant is told of an attempt, but for its times and ids, and what follows from it.
fn told((delivery, attempt): &(Delivery, Attempt)) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        (delivery.status, delivery.final_http_status),
        attempt.error.clone(),
        attempt.response.clone(),
        attempt.remote_ip,
        Sign::of(attempt),
    )
}

/// A port that answers nobody, since as many wait there as may, and what holds it.
async fn filtered_port() -> (u16, impl Sized) {
    let socket = TcpSocket::new_v4().expect("a socket");
    let any = "127.0.0.1:0".parse().expect("an address");
    socket.bind(any).expect("a port");
    let listener = socket.listen(1).expect("listening");
    let there = listener.local_addr().expect("its address");
    let mut waiting = Vec::new();
    let connect = async || {
        let connecting = tokio::net::TcpStream::connect(there);
        tokio::time::timeout(Duration::from_millis(200), connecting).await
    };
    while let Ok(Ok(stream)) = connect().await {
        waiting.push(stream);
    }
    (there.port(), (listener, waiting))
}

#[tokio::test]
async fn forbidden_address_tells_nothing_of_what_is_there() {
    let open = Receiver::start().await;
    let (filtered, _held) = filtered_port().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = closed.local_addr().expect("its address").port();
    for host in ["127.0.0.1", "localhost"] {
        let mut seen = Vec::new();
        for port in [open.address().port(), closed, filtered] {
            let url = format!("http://{host}:{port}/");
            seen.push(told(&attempt_with(&CLOSED, &url).await));
        }
        assert_eq!(seen[0], seen[1], "open and closed at {host}");
        assert_eq!(seen[0], seen[2], "open and filtered at {host}");
    }
    assert_eq!(open.received().len(), 0);
}

#[tokio::test]
async fn name_inside_and_name_that_does_not_exist_look_alike() {
    let inside = attempt_with(&CLOSED, "http://localhost/").await;
    let nowhere = attempt_with(&CLOSED, "http://receiver.invalid/").await;
    assert_eq!(told(&inside), told(&nowhere));
    assert_eq!(error_kind(&inside.1), Some("dns"));
}

#[tokio::test]
async fn whatever_is_sent_again_meets_the_guard_as_it_is_now() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    receiver.answer(Answer::status(500));
    let mut wanted = settings(&receiver.url("/"));
    wanted.retry = retries(&[Duration::from_secs(3_600)]);
    let endpoint = world.endpoint(&wanted).await;
    let open = Dispatcher::start(database.url()).await;
    world.publish(b"{}").await;
    let original = world
        .wait_for_status(endpoint, DeliveryStatus::Retrying)
        .await;
    drop(open);

    let replay = world.replay_express(original.id).await;
    let test = world.send_directly(endpoint, EventType::test()).await;
    let challenge = world.send_directly(endpoint, EventType::challenge()).await;
    let _closed = Dispatcher::start_with(database.url(), &CLOSED).await;
    world.pass_retries().await;
    world
        .wait_for_one(original.id, DeliveryStatus::Failed)
        .await;
    world.wait_for_one(replay, DeliveryStatus::Retrying).await;
    world.wait_for_one(test, DeliveryStatus::Retrying).await;
    world.wait_for_one(challenge, DeliveryStatus::Failed).await;
    for again in [original.id, replay, test, challenge] {
        let kinds = world.error_kinds(again).await;
        let last = kinds.last().expect("an attempt").as_deref();
        assert_eq!(last, Some("address_refused"), "{kinds:?}");
    }
    assert_eq!(receiver.received().len(), 1, "the first attempt");
}

#[tokio::test]
async fn delivery_that_no_connection_can_be_made_for_here_waits_and_keeps_its_attempts() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let endpoint = world.endpoint(&settings(&receiver.url("/"))).await;
    let dispatcher = Dispatcher::start(database.url()).await;
    let may_have = |files| {
        let id = dispatcher
            .process
            .id()
            .and_then(|id| i32::try_from(id).ok());
        let id = Pid::from_raw(id.expect("it runs")).expect("an id");
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = files;
        prlimit(Some(id), Resource::Nofile, limit).expect("limited");
    };
    // What it has open stays so; there will be no file more.
    may_have(Some(1));
    world.publish(b"{}").await;
    world
        .wait_for_queue("lease_token IS NULL AND due_at > now()", 1)
        .await;
    let waiting = world.delivery(endpoint).await;
    assert_eq!(waiting.status, DeliveryStatus::Pending);
    assert!(world.attempts(waiting.id).await.is_empty());

    may_have(getrlimit(Resource::Nofile).maximum);
    world.pass_retries().await;
    world
        .wait_for_status(endpoint, DeliveryStatus::Delivered)
        .await;
    let attempts = world.attempts(waiting.id).await;
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1]);
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
