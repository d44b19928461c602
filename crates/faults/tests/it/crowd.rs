//! Very many receivers that are dead at once, and come back at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reprise_faults::stage::PATIENCE;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{Api, Dispatcher, Tenant, create_endpoint, publish};
use reprise_testkit::http::Client;
use reprise_testkit::receiver::{Answer, Receiver};
use reprise_testkit::sql::Sql;
use serde_json::json;
use tokio::task::JoinSet;

/// More than a dispatcher remembers endpoints with ready deliveries, or as many as a tenant may have.
const COUNT: usize = if cfg!(feature = "full") {
    10_000
} else {
    1_100
};
/// Events of the neighbour while all are dead.
const NEIGHBOURS_EVENTS: usize = 40;
/// How long all that came back takes; a fraction of a second for each hundred of them.
const ALL_BACK: Duration = Duration::from_mins(5);

/// How often each path has accepted.
type Accepted = Arc<Mutex<HashMap<String, usize>>>;

/// Half of them hang, half of them answer an error, until they are mended.
async fn crowd() -> (Receiver, Arc<AtomicBool>, Accepted) {
    let receiver = Receiver::start_without_record().await;
    let (is_mended, accepted) = (Arc::new(AtomicBool::new(false)), Accepted::default());
    let (mended, noted) = (Arc::clone(&is_mended), Arc::clone(&accepted));
    receiver.answer_by_default(move |request| {
        if mended.load(Ordering::SeqCst) {
            let mut noted = noted.lock().expect("nobody panics with it");
            *noted.entry(request.path.clone()).or_default() += 1;
            return Answer::status(200);
        }
        if request.path.ends_with(['0', '2', '4', '6', '8']) {
            Answer::hang()
        } else {
            Answer::status(500)
        }
    });
    (receiver, is_mended, accepted)
}

async fn create_endpoints(client: &Client, receiver: &Receiver) {
    let mut creating = JoinSet::new();
    for part in 0..8 {
        let client = client.clone();
        let urls: Vec<_> = (part..COUNT)
            .step_by(8)
            .map(|number| receiver.url(&format!("/{number}")))
            .collect();
        creating.spawn(async move {
            let policy = json!({"timeout_seconds": 1, "retry_schedule": [2], "max_retries": 50});
            for url in urls {
                create_endpoint(&client, &url, policy.clone()).await;
            }
        });
    }
    while let Some(created) = creating.join_next().await {
        created.expect("created");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowd_of_dead_receivers_is_in_nobodys_way_and_gets_everything_once_when_it_is_back() {
    let database = TestDatabase::create().await;
    let sql = Sql::at(database.url());
    let api = Api::start(database.url()).await;
    let many = Tenant::create(database.url(), "many").await;
    let neighbour = Tenant::create(database.url(), "neighbour").await;
    let (receiver, is_mended, accepted) = crowd().await;
    create_endpoints(&api.client(&many), &receiver).await;
    let healthy = Receiver::start().await;
    let client = api.client(&neighbour);
    create_endpoint(&client, &healthy.url("/"), json!({})).await;
    let _dispatcher = Dispatcher::start(database.url()).await;

    publish(&api.client(&many), "to.all", json!({})).await;
    let tried = "SELECT (count(*) >= 256)::int FROM attempts";
    sql.wait_for(tried, 1, PATIENCE).await;
    let mut took = Vec::new();
    for number in 1..=NEIGHBOURS_EVENTS {
        let began = Instant::now();
        publish(&client, "to.one", json!({})).await;
        healthy.wait_for(number, PATIENCE).await;
        took.push(began.elapsed());
    }
    took.sort();
    let slowest = took.last().copied().unwrap_or_default();
    let median = took[took.len() / 2];

    is_mended.store(true, Ordering::SeqCst);
    let began = Instant::now();
    let left = "SELECT count(*) FROM delivery_queue";
    sql.wait_for(left, 0, ALL_BACK).await;
    eprintln!(
        "MEASURED {COUNT} dead endpoints: a neighbour's event takes {median:.0?}, the slowest {slowest:.0?}; \
         all delivered {:.1?} after they are back",
        began.elapsed()
    );
    let accepted = accepted.lock().expect("nobody panics with it").clone();
    assert_eq!(accepted.len(), COUNT);
    assert!(accepted.values().all(|count| *count == 1), "once each");
    let orphans = sql.texts(reprise_testkit::sql::ORPHANS).await;
    assert!(orphans.is_empty(), "{orphans:?}");
}
