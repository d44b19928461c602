//! Connections that are cut without a word, stand still, or are reset, under load.

use std::time::Duration;

use reprise_faults::repeat::each;
use reprise_faults::stage::{MAX_IN_FLIGHT, Setting, Stage, tell};
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Api;
use reprise_testkit::link::{Flow, Link};

/// What is cut: what goes to PostgreSQL, what comes from it, or both.
const CUTS: [(&str, Flow, Flow); 3] = [
    ("to", Flow::Cut, Flow::Open),
    ("from", Flow::Open, Flow::Cut),
    ("to and from", Flow::Cut, Flow::Cut),
];

#[test]
fn dispatcher_that_is_cut_off_from_postgresql_is_replaced_and_loses_nothing() {
    each(&CUTS, async |(which, to_server, to_client)| {
        let database = TestDatabase::create().await;
        let setting = Setting {
            dispatchers: 1,
            delay: Duration::from_millis(200),
            ..Setting::default()
        };
        let mut stage = Stage::start(database.url(), &setting).await;
        let (link, url) = Link::to_postgres(database.url()).await;
        let cut_off = stage.dispatcher_at(&url, &[]).await;
        stage.wait_for_more(20).await;
        stage.wait_until_busy(&cut_off).await;
        link.set(*to_server, *to_client);
        stage.wait_until_judged(&cut_off).await;
        stage.wait_for_more(20).await;
        link.set(Flow::Open, Flow::Open);
        stage.dispatchers.push(cut_off);
        stage.wait_for_more(20).await;
        let verdict = stage.settle().await;
        tell(
            &format!("dispatcher: cut {which} PostgreSQL"),
            MAX_IN_FLIGHT,
            &verdict,
        );
        verdict.hold(MAX_IN_FLIGHT);
    });
}

#[test]
fn api_that_is_cut_off_from_postgresql_says_so_and_stores_nothing_twice() {
    each(&CUTS, async |(which, to_server, to_client)| {
        let database = TestDatabase::create().await;
        let mut stage = Stage::start(database.url(), &Setting::default()).await;
        let (link, url) = Link::to_postgres(database.url()).await;
        stage.api = Api::start(&url).await;
        stage.publisher.turn_to(stage.api.client(&stage.tenant));
        stage.wait_for_more(20).await;
        link.set(*to_server, *to_client);
        stage.wait_for_refusals(5).await;
        link.set(Flow::Open, Flow::Open);
        stage.wait_for_more(20).await;
        let verdict = stage.settle().await;
        tell(&format!("API: cut {which} PostgreSQL"), 0, &verdict);
        verdict.hold(0);
        assert!(verdict.slowest < Duration::from_secs(30), "{verdict}");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_postgresql_that_are_reset_again_and_again_lose_nothing() {
    let database = TestDatabase::create().await;
    let (link, url) = Link::to_postgres(database.url()).await;
    let mut stage = Stage::start(&url, &Setting::default()).await;
    for _ in 0..10 {
        stage.wait_for_more(3).await;
        link.reset();
    }
    stage.wait_for_more(20).await;
    let verdict = stage.settle().await;
    tell("all connections to PostgreSQL reset 10 times", 0, &verdict);
    // What was claimed as the claim's answer was lost waits for its lease, and was not sent.
    verdict.hold(0);
}
