//! Many deliveries, several dispatchers, and who waits for whom.

use std::collections::HashMap;
use std::time::Duration;

use reprise_core::delivery::DeliveryStatus;
use reprise_core::event_type::EventPattern;
use reprise_core::ids::EndpointId;
use reprise_core::ready_hint::ReadyHint;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Dispatcher;
use reprise_testkit::metrics::value;
use reprise_testkit::polling::poll_until;
use reprise_testkit::receiver::{Answer, Received, Receiver};
use reprise_testkit::sql::Sql;

use crate::world::{PATIENCE, World, settings};

/// How often each delivery was received.
fn counts(received: &[Received]) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for one in received {
        let id = one.header("webhook-delivery-id").expect("always sent");
        *counts.entry(id.to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn two_dispatchers_send_each_of_300_deliveries_exactly_once() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let mut endpoints = Vec::new();
    for path in ["/a", "/b", "/c"] {
        endpoints.push(world.endpoint(&settings(&receiver.url(path))).await);
    }
    let _first = Dispatcher::start(database.url()).await;
    let _second = Dispatcher::start(database.url()).await;
    for _ in 0..100 {
        world.publish(b"{}").await;
    }
    for endpoint in endpoints {
        world
            .wait_for_all(endpoint, 100, DeliveryStatus::Delivered)
            .await;
    }
    let counts = counts(&receiver.received());
    assert_eq!(counts.len(), 300);
    assert!(counts.values().all(|&count| count == 1), "{counts:?}");
}

#[tokio::test]
async fn more_endpoints_than_one_claim_visits_are_all_served() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    // The first 70 in the order of the walk never answer and are saturated by one delivery each.
    receiver.answer_on("/hangs", Answer::hang());
    for _ in 0..70 {
        world.endpoint(&settings(&receiver.url("/hangs"))).await;
    }
    let healthy = world.endpoint(&settings(&receiver.url("/healthy"))).await;
    world.publish_quietly(b"1").await;
    world.publish_quietly(b"2").await;
    let limits = [("REPRISE_MAX_IN_FLIGHT_PER_ENDPOINT", "1")];
    let _dispatcher = Dispatcher::start_with(database.url(), &limits).await;
    // Well before the hanging ones time out after 10 s.
    let has_come =
        |received: &[Received]| received.iter().filter(|one| one.path == "/healthy").count() == 2;
    receiver.wait_until(has_come, Duration::from_secs(8)).await;
    world
        .wait_for_all(healthy, 2, DeliveryStatus::Delivered)
        .await;
}

#[tokio::test]
async fn endpoint_that_hangs_does_not_hold_up_another() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    receiver.answer_on("/hangs", Answer::hang());
    let mut hanging = settings(&receiver.url("/hangs"));
    hanging.timeout = Duration::from_secs(60);
    world.endpoint(&hanging).await;
    let healthy = world.endpoint(&settings(&receiver.url("/healthy"))).await;
    let limits = [
        ("REPRISE_MAX_IN_FLIGHT", "16"),
        ("REPRISE_MAX_IN_FLIGHT_PER_ENDPOINT", "4"),
    ];
    let _dispatcher = Dispatcher::start_with(database.url(), &limits).await;
    for _ in 0..50 {
        world.publish(b"{}").await;
    }
    world
        .wait_for_all(healthy, 50, DeliveryStatus::Delivered)
        .await;
    let hung = receiver
        .received()
        .iter()
        .filter(|one| one.path == "/hangs")
        .count();
    assert_eq!(hung, 4, "the endpoint's limit");
}

#[tokio::test]
async fn express_overtakes_a_backlog_of_its_own_endpoint() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let endpoint = world.endpoint(&settings(&receiver.url("/"))).await;
    let limits = [
        ("REPRISE_MAX_IN_FLIGHT", "8"),
        ("REPRISE_MAX_IN_FLIGHT_PER_ENDPOINT", "4"),
    ];
    let _dispatcher = Dispatcher::start_with(database.url(), &limits).await;
    world.publish(b"{}").await;
    let original = world
        .wait_for_status(endpoint, DeliveryStatus::Delivered)
        .await;

    receiver.answer(Answer::status(200).delay(Duration::from_millis(300)));
    for _ in 0..60 {
        world.publish_quietly(b"{}").await;
    }
    world.wake().await;
    receiver.wait_for(3, PATIENCE).await;
    let replay = world.replay_express(original.id).await.to_string();
    let before = receiver.received().len();
    let has_come = |received: &[Received]| counts(received).contains_key(&replay);
    let received = receiver.wait_until(has_come, PATIENCE).await;
    let overtook = received.len() - before;
    assert!(overtook < 12, "{overtook} more came before it");
}

#[tokio::test]
async fn delivery_is_sent_without_a_notification_too() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let endpoint = world.endpoint(&settings(&receiver.url("/"))).await;
    let _dispatcher = Dispatcher::start(database.url()).await;
    world.publish_quietly(b"{}").await;
    world
        .wait_for_status(endpoint, DeliveryStatus::Delivered)
        .await;
}

#[tokio::test]
async fn notification_wakes_a_dispatcher_long_before_it_would_look() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let endpoint = world.endpoint(&settings(&receiver.url("/"))).await;
    let rarely = [("REPRISE_POLL_INTERVAL", "1h")];
    let _dispatcher = Dispatcher::start_with(database.url(), &rarely).await;
    // The first may be found by the claim at the start, the second only by its notification.
    world.publish(b"1").await;
    world
        .wait_for_status(endpoint, DeliveryStatus::Delivered)
        .await;
    world.publish(b"2").await;
    world
        .wait_for_all(endpoint, 2, DeliveryStatus::Delivered)
        .await;
}

/// Waits until a dispatcher has taken a connection so often: to go on with its walk, for each claim, and now and then
/// for something else. By then it has been all the way round, and remembers all that it can.
async fn pass_claims(dispatcher: &Dispatcher, count: f64) {
    const TAKEN: &str = r#"reprise_pool_gets_total{got="at_once"}"#;
    let taken = async || {
        let answer = dispatcher.admin().get("/metrics").await;
        value(&answer.text(), TAKEN).unwrap_or_default()
    };
    let before = taken().await;
    let have_passed = async || (taken().await >= before + count).then_some(());
    let have_passed = poll_until(PATIENCE, have_passed).await;
    have_passed.expect("it claims");
}

#[tokio::test]
async fn more_endpoints_that_hang_than_are_remembered_keep_no_other_tenant_out() {
    let database = TestDatabase::create().await;
    let crowd = World::create(database.url()).await;
    let other = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    receiver.answer_on("/hangs", Answer::hang());
    // More than the claimer remembers (1,024), and they hold their places for longer than the test waits.
    let mut hanging = settings(&receiver.url("/hangs"));
    hanging.timeout = Duration::from_secs(60);
    for _ in 0..1_100 {
        crowd.endpoint(&hanging).await;
    }
    let healthy = other.endpoint(&settings(&receiver.url("/healthy"))).await;
    crowd.publish_quietly(b"{}").await;
    let limits = [("REPRISE_MAX_IN_FLIGHT_PER_TENANT", "32")];
    let dispatcher = Dispatcher::start_with(database.url(), &limits).await;
    // A quarter is kept for endpoints that answer.
    receiver.wait_for(24, PATIENCE).await;
    pass_claims(&dispatcher, 40.0).await;
    other.publish(b"{}").await;
    other
        .wait_for_status(healthy, DeliveryStatus::Delivered)
        .await;
}

#[tokio::test]
async fn endpoints_that_hang_leave_places_to_those_of_their_tenant_that_answer() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let healthy = world.endpoint(&settings(&receiver.url("/healthy"))).await;
    let limits = [("REPRISE_MAX_IN_FLIGHT_PER_TENANT", "16")];
    let _dispatcher = Dispatcher::start_with(database.url(), &limits).await;
    world.publish(b"{}").await;
    world
        .wait_for_status(healthy, DeliveryStatus::Delivered)
        .await;
    // More than the tenant has places, and for longer than the test waits.
    receiver.answer_on("/hangs", Answer::hang());
    let mut hanging = settings(&receiver.url("/hangs"));
    hanging.timeout = Duration::from_secs(60);
    for _ in 0..20 {
        world.endpoint(&hanging).await;
    }
    for _ in 0..3 {
        world.publish(b"{}").await;
    }
    let hang = |received: &Received| received.path == "/hangs";
    let all = poll_until(PATIENCE, async || {
        (receiver.received().iter().filter(|one| hang(one)).count() >= 12).then_some(())
    });
    all.await.expect("they have what they may have");
    world.publish(b"{}").await;
    let delivered = poll_until(PATIENCE, async || {
        let received = receiver.received();
        (received.iter().filter(|one| !hang(one)).count() >= 5).then_some(())
    });
    delivered.await.expect("all that came for the healthy one");
    let hanging = receiver.received().iter().filter(|one| hang(one)).count();
    assert_eq!(hanging, 12, "three quarters");
}

#[tokio::test]
async fn endpoints_that_turn_out_to_have_nothing_take_no_place_from_those_that_have() {
    let database = TestDatabase::create().await;
    let (idle, busy) = (
        World::create(database.url()).await,
        World::create(database.url()).await,
    );
    let receiver = Receiver::start().await;
    for _ in 0..6 {
        idle.endpoint(&settings(&receiver.url("/idle"))).await;
    }
    // Six places for what is not express: three may hang, and there is one for another endpoint of their tenant.
    let limits = [("REPRISE_MAX_IN_FLIGHT", "10")];
    let _dispatcher = Dispatcher::start_with(database.url(), &limits).await;
    idle.publish(b"{}").await;
    receiver.wait_for(6, PATIENCE).await;
    // Two places are taken, for longer than the test waits: the idle ones' tenant has less, and comes first.
    receiver.answer_on("/hangs", Answer::hang());
    let mut hanging = settings(&receiver.url("/hangs"));
    hanging.timeout = Duration::from_secs(60);
    busy.endpoint(&hanging).await;
    for _ in 0..2 {
        busy.publish(b"{}").await;
    }
    receiver.wait_for(8, PATIENCE).await;
    let healthy = busy.endpoint(&settings(&receiver.url("/healthy"))).await;
    busy.publish_quietly(b"{}").await;
    busy.wait_for_status(healthy, DeliveryStatus::Delivered)
        .await;
}

/// Endpoints of which each gets the events of a type of its own, with those types.
async fn endpoints_with_types(world: &World, url: &str, count: usize) -> Vec<(String, EndpointId)> {
    let mut endpoints = Vec::new();
    for number in 0..count {
        let event_type = format!("event.{number}");
        let mut settings = settings(url);
        settings.event_patterns = vec![EventPattern::parse(&event_type).expect("a pattern")];
        endpoints.push((event_type, world.endpoint(&settings).await));
    }
    endpoints
}

/// Two dispatchers that know each other, and look at nothing unless they hear of it.
async fn two_that_listen(database: &TestDatabase) -> [Dispatcher; 2] {
    let rarely = [("REPRISE_POLL_INTERVAL", "1h")];
    let first = Dispatcher::start_with(database.url(), &rarely).await;
    let second = Dispatcher::start_with(database.url(), &rarely).await;
    let sql = Sql::at(database.url());
    // After its next heartbeat the first one knows the second.
    sql.execute("UPDATE dispatchers SET started_at = now()")
        .await;
    let beating = "(SELECT count(*) FROM dispatchers WHERE heartbeat_at > started_at)";
    sql.wait_for(beating, 2, PATIENCE).await;
    [first, second]
}

/// Publishes to an endpoint, tells of that, and waits until it is delivered.
async fn deliver_one(world: &World, (event_type, endpoint_id): &(String, EndpointId), nth: usize) {
    world.publish_quietly_as(event_type, b"{}").await;
    let mut hint = ReadyHint::default();
    hint.add(world.tenant_id, *endpoint_id);
    world.hint(&hint).await;
    world
        .wait_for_all(*endpoint_id, nth, DeliveryStatus::Delivered)
        .await;
}

/// Whoever hears first, or is quickest, would serve all of them, or some of each.
#[tokio::test]
async fn each_endpoint_is_served_by_its_home_while_there_is_little_to_do() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let endpoints = endpoints_with_types(&world, &receiver.url("/a"), 20).await;
    let _dispatchers = two_that_listen(&database).await;

    for nth in 1..=4 {
        for endpoint in &endpoints {
            deliver_one(&world, endpoint, nth).await;
        }
    }

    // Not all of them: on a busy machine a home may be late.
    let served = Sql::at(database.url())
        .texts(
            "SELECT min(dispatcher_id::text) AS value FROM attempts JOIN deliveries ON deliveries.id = delivery_id
             GROUP BY endpoint_id HAVING count(DISTINCT dispatcher_id) = 1",
        )
        .await;
    assert!(served.len() >= 12, "by one alone: {}", served.len());
    let by_one = served.iter().filter(|id| **id == served[0]).count();
    assert!(by_one < served.len(), "all {by_one} by the same");
}

#[tokio::test]
async fn what_a_home_does_not_look_at_is_delivered_by_another() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let endpoints = endpoints_with_types(&world, &receiver.url("/a"), 10).await;
    let [home_of_some, _other] = two_that_listen(&database).await;

    home_of_some.process.stop();
    for endpoint in &endpoints {
        deliver_one(&world, endpoint, 1).await;
    }
    home_of_some.process.cont();
}
