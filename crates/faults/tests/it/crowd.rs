//! Very many receivers that are dead at once, and come back at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reprise_faults::stage::PATIENCE;
use reprise_faults::usage::Usage;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{Api, Dispatcher, Tenant, create_endpoint, publish};
use reprise_testkit::http::Client;
use reprise_testkit::polling::poll_until;
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
/// Events of the neighbour before all are dead, and while they are.
const NEIGHBOURS_EVENTS: usize = if cfg!(feature = "full") { 400 } else { 40 };
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

/// Another tenant, whose receiver is well.
struct Neighbour {
    client: Client,
    receiver: Receiver,
}

/// How long a neighbour's events take, from before they are published until they have come.
struct Took {
    median: Duration,
    /// 99 of 100 take no longer.
    most: Duration,
    slowest: Duration,
}

impl Neighbour {
    async fn move_in(api: &Api, database_url: &str) -> Self {
        let tenant = Tenant::create(database_url, "neighbour").await;
        let (client, receiver) = (api.client(&tenant), Receiver::start().await);
        create_endpoint(&client, &receiver.url("/"), json!({})).await;
        Self { client, receiver }
    }

    /// Publishes one event after the other, and waits for each.
    async fn publish(&self) -> Took {
        let mut took = Vec::new();
        let before = self.receiver.received().len();
        for number in before + 1..=before + NEIGHBOURS_EVENTS {
            let began = Instant::now();
            publish(&self.client, "to.one", json!({})).await;
            self.receiver.wait_for(number, PATIENCE).await;
            took.push(began.elapsed());
        }
        took.sort();
        Took {
            median: took[NEIGHBOURS_EVENTS / 2],
            most: took[NEIGHBOURS_EVENTS * 99 / 100],
            slowest: took[NEIGHBOURS_EVENTS - 1],
        }
    }
}

impl fmt::Display for Took {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            median,
            most,
            slowest,
        } = self;
        write!(
            formatter,
            "p50 {median:.0?}, p99 {most:.0?}, slowest {slowest:.0?}"
        )
    }
}

/// Waits until nothing is left, and watches that nothing waits for longer than its policy says: two seconds, and some
/// for jitter. (What is leased is due when its lease ends.)
async fn wait_until_delivered(sql: &Sql) {
    let too_late = "SELECT count(*) FROM delivery_queue
                    WHERE lease_token IS NULL AND due_at > now() + interval '10 seconds'";
    let delivered = poll_until(ALL_BACK, async || {
        assert_eq!(
            sql.number(too_late).await,
            0,
            "wait for longer than they have to"
        );
        let left = sql.number("SELECT count(*) FROM delivery_queue").await;
        (left == 0).then_some(())
    });
    delivered.await.expect("all is delivered in the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowd_of_dead_receivers_is_in_nobodys_way_and_gets_everything_once_when_it_is_back() {
    let database = TestDatabase::create().await;
    let sql = Sql::at(database.url());
    let api = Api::start(database.url()).await;
    let many = Tenant::create(database.url(), "many").await;
    let neighbour = Neighbour::move_in(&api, database.url()).await;
    let (receiver, is_mended, accepted) = crowd().await;
    create_endpoints(&api.client(&many), &receiver).await;
    let dispatcher = Dispatcher::start(database.url()).await;
    let alone = neighbour.publish().await;
    let idle = Usage::of(&dispatcher.process);

    publish(&api.client(&many), "to.all", json!({})).await;
    let tried = "SELECT (count(*) >= 256)::int FROM attempts WHERE error_kind IS NOT NULL";
    sql.wait_for(tried, 1, PATIENCE).await;
    let beside = neighbour.publish().await;
    let busy = Usage::of(&dispatcher.process);

    is_mended.store(true, Ordering::SeqCst);
    let began = Instant::now();
    wait_until_delivered(&sql).await;
    eprintln!(
        "MEASURED {COUNT} dead endpoints: a neighbour's event takes {beside}; alone it was {alone}; the dispatcher has \
         {busy}, before {idle}, and {} when all is delivered, {:.1?} after they are back",
        Usage::of(&dispatcher.process),
        began.elapsed()
    );
    let accepted = accepted.lock().expect("nobody panics with it").clone();
    assert_eq!(accepted.len(), COUNT);
    assert!(accepted.values().all(|count| *count == 1), "once each");
    let orphans = sql.texts(reprise_testkit::sql::ORPHANS).await;
    assert!(orphans.is_empty(), "{orphans:?}");
}
