//! PostgreSQL goes away and comes back.

use std::sync::{Mutex, mpsc};

use reprise_core::delivery::DeliveryStatus;
use reprise_testkit::cluster::Cluster;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Dispatcher;
use reprise_testkit::link::{Flow, Link};
use reprise_testkit::receiver::{Answer, Receiver};
use reprise_testkit::sql::Sql;

use crate::world::{PATIENCE, World, settings};

fn outage_lines(dispatcher: &Dispatcher) -> (usize, usize) {
    let lines = dispatcher.process.lines();
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    (
        count("waiting until it is back"),
        count("PostgreSQL is back"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn dispatcher_comes_back_by_itself_and_delivers_what_waited() {
    let mut cluster = Cluster::start().await;
    let world = World::create(cluster.url()).await;
    let receiver = Receiver::start().await;
    let endpoint = world.endpoint(&settings(&receiver.url("/"))).await;
    let dispatcher = Dispatcher::start(cluster.url()).await;
    cluster.stop();
    let noticed = |line: &str| line.contains("waiting until it is back").then_some(());
    dispatcher.process.wait_for_line(noticed, PATIENCE).await;
    let _ = dispatcher.admin().get("/healthz").await.expect_status(200);
    let _ = dispatcher.admin().get("/readyz").await.expect_status(503);
    cluster.restart();
    let recovered = |line: &str| line.contains("PostgreSQL is back").then_some(());
    dispatcher.process.wait_for_line(recovered, PATIENCE).await;

    world.publish(b"{}").await;
    world
        .wait_for_status(endpoint, DeliveryStatus::Delivered)
        .await;
    assert_eq!(outage_lines(&dispatcher), (1, 1), "one line each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn result_that_waits_through_an_outage_is_recorded_and_nothing_is_sent_twice() {
    let mut cluster = Cluster::start().await;
    let world = World::create(cluster.url()).await;
    let receiver = Receiver::start().await;
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    receiver.answer_by("/", move |_| {
        // In place: other tasks of this worker go on elsewhere.
        let wait = || released.lock().expect("not poisoned").recv();
        let _ = tokio::task::block_in_place(wait);
        Answer::status(200)
    });
    let endpoint = world.endpoint(&settings(&receiver.url("/"))).await;
    let dispatcher = Dispatcher::start(cluster.url()).await;
    world.publish(b"{}").await;
    world
        .wait_for_status(endpoint, DeliveryStatus::Delivering)
        .await;
    // In order: a crash would forget the claim, whose commit does not wait for the disk, and it would be made again.
    cluster.stop();
    release.send(()).expect("the receiver waits");
    receiver.wait_for(1, PATIENCE).await;
    let noticed = |line: &str| line.contains("waiting until it is back").then_some(());
    dispatcher.process.wait_for_line(noticed, PATIENCE).await;
    // Each answer says that a connection could not be had for three seconds; after two, the recorder has failed too.
    for _ in 0..2 {
        let _ = dispatcher.admin().get("/readyz").await.expect_status(503);
    }
    cluster.restart();

    let delivery = world
        .wait_for_status(endpoint, DeliveryStatus::Delivered)
        .await;
    assert_eq!(delivery.attempt_count, 1);
    assert_eq!(world.error_kinds(delivery.id).await, [None]);
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn claim_whose_answer_is_lost_is_given_back_and_costs_no_attempt() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let endpoint = world.endpoint(&settings(&receiver.url("/"))).await;
    let (link, url) = Link::to_postgres(database.url()).await;
    let dispatcher = Dispatcher::start(&url).await;
    let _ = dispatcher.admin().get("/readyz").await.expect_status(200);
    // A claim is held up until its answer can't come through.
    let sql = Sql::at(database.url());
    sql.execute(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM pg_advisory_xact_lock(1);
            RETURN NEW;
         END $$;
         CREATE TRIGGER wait BEFORE UPDATE ON delivery_queue FOR EACH ROW EXECUTE FUNCTION wait();",
    )
    .await;
    let mut holder = sql.session().await.expect("a session");
    let hold = "SELECT pg_advisory_lock(1)";
    holder.execute(hold).await.expect("held");
    world.publish(b"{}").await;
    let claiming = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'";
    sql.wait_for(claiming, 1, PATIENCE).await;
    link.set(Flow::Open, Flow::Cut);
    let let_go = "SELECT pg_advisory_unlock(1)";
    holder.execute(let_go).await.expect("let go");
    world.wait_for_queue("lease_token IS NOT NULL", 1).await;
    assert_eq!(receiver.received().len(), 0, "it has not heard of it");
    link.set(Flow::Open, Flow::Open);

    let delivery = world
        .wait_for_status(endpoint, DeliveryStatus::Delivered)
        .await;
    assert_eq!(world.error_kinds(delivery.id).await, [None]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn response_that_is_refused_while_nothing_else_is_recorded_is_recorded_without_its_body() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    receiver.answer([Answer::status(200).body("poison")]);
    let endpoint = world.endpoint(&settings(&receiver.url("/"))).await;
    let sql = Sql::at(database.url());
    sql.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.response_body = 'poison' THEN
                RAISE EXCEPTION 'refused' USING ERRCODE = '22021';
            END IF;
            RETURN NEW;
         END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON attempts FOR EACH ROW EXECUTE FUNCTION refuse();",
    )
    .await;
    let _dispatcher = Dispatcher::start(database.url()).await;
    world.publish(b"{}").await;

    let delivery = world
        .wait_for_status(endpoint, DeliveryStatus::Delivered)
        .await;
    let attempts = world.attempts(delivery.id).await;
    assert_eq!(attempts.len(), 1);
    let response = attempts[0].response.as_ref().expect("it has answered");
    assert_eq!((response.status, response.body.as_slice()), (200, &[][..]));
    assert!(response.body_truncated);
    assert_eq!(receiver.received().len(), 1);
}
