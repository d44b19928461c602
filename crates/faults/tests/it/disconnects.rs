//! Callers that go in the middle of publishing: it is stored whole or not at all, and a repeat gives the first answer.

use std::time::Duration;

use reprise_faults::stage::PATIENCE;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{Api, Tenant};
use reprise_testkit::http::{Client, Content, Method};
use reprise_testkit::polling::{poll_until, wait_for};
use reprise_testkit::publisher::event;
use reprise_testkit::sql::Sql;
use reprise_testkit::wire::Wire;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const EVENTS: &str = "/v1/webhooks/events";
const BATCH: &str = "/v1/webhooks/events/batch";
/// Longer than the API needs for one call, and shorter than the pool waits for a connection that somebody has left
/// busy.
const AT_ONCE: Duration = Duration::from_secs(3);

/// How a caller goes.
#[derive(Clone, Copy, Debug)]
enum Going {
    /// FIN: it says nothing more, and may still listen.
    Closing,
    /// RST: nobody is there any more.
    Reset,
}

/// What is published.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Batch,
    Keyed,
}

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::Plain | Self::Keyed => EVENTS,
            Self::Batch => BATCH,
        }
    }

    fn events(self) -> u64 {
        match self {
            Self::Plain | Self::Keyed => 1,
            Self::Batch => 3,
        }
    }

    fn body(self, first: u64) -> Value {
        match self {
            Self::Plain | Self::Keyed => event(first),
            Self::Batch => (first..first + self.events()).map(event).collect(),
        }
    }
}

/// An API behind a way to PostgreSQL that can be closed.
struct World {
    wire: Wire,
    api: Api,
    tenant: Tenant,
    sql: Sql,
    _database: TestDatabase,
}

impl World {
    async fn start() -> Self {
        let database = TestDatabase::create().await;
        let wire = Wire::to(database.url()).await;
        let tenant = Tenant::create(database.url(), "acme").await;
        // Few connections: whoever leaves them busy is in everybody's way.
        let few = [("REPRISE_DATABASE_CONNECTIONS", "2")];
        let api = Api::start_with(wire.url(), &few).await;
        let sql = Sql::at(database.url());
        let world = Self {
            wire,
            api,
            tenant,
            sql,
            _database: database,
        };
        // The caller is known and the subscriptions cached, so that what follows is the publication alone.
        let _ = world
            .client()
            .post(EVENTS, &event(0))
            .await
            .expect_status(202);
        world
    }

    fn client(&self) -> Client {
        self.api.client(&self.tenant)
    }

    fn request(&self, kind: Kind, first: u64, key: &str) -> Vec<u8> {
        let body = kind.body(first).to_string();
        let key_header = match kind {
            Kind::Keyed => format!("Idempotency-Key: {key}\r\n"),
            Kind::Plain | Kind::Batch => String::new(),
        };
        format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\nContent-Type: application/json\r\n{key_header}Content-Length: {}\r\n\r\n{body}",
            kind.path(),
            self.tenant.api_key,
            body.len(),
        )
        .into_bytes()
    }

    /// How many events are stored with numbers from `first` on.
    async fn stored(&self, first: u64, count: u64) -> i64 {
        let end = first + count;
        self.sql
            .number(&format!(
                "SELECT count(*) FROM events
                 WHERE (convert_from(payload, 'UTF8')::jsonb ->> 'sequence')::int8 BETWEEN {first} AND {end} - 1"
            ))
            .await
    }

    /// Connects and says the first `length` bytes of a request.
    async fn say(&self, request: &[u8], length: usize) -> TcpStream {
        let mut socket = TcpStream::connect(self.api.address())
            .await
            .expect("connected");
        socket
            .write_all(&request[..length])
            .await
            .expect("it is taken");
        socket
    }

    /// Publishing works, at once: nobody left a connection busy.
    async fn works(&self) {
        let content = || {
            Some(Content::json(
                &json!({"event_type": "next.one", "payload": 1}),
            ))
        };
        let client = self.client();
        let publishing = client.try_send(Method::POST, EVENTS, content());
        let answer = wait_for(AT_ONCE, publishing).await;
        let answer = answer.expect("answered at once").expect("answered");
        let _ = answer.expect_status(202);
    }
}

async fn go(mut socket: TcpStream, going: Going) {
    match going {
        Going::Closing => {
            let _ = socket.shutdown().await;
            drop(socket);
        }
        Going::Reset => {
            socket.set_zero_linger().expect("a socket");
            drop(socket);
        }
    }
}

const ALL: [(Kind, Going); 6] = [
    (Kind::Plain, Going::Closing),
    (Kind::Plain, Going::Reset),
    (Kind::Batch, Going::Closing),
    (Kind::Batch, Going::Reset),
    (Kind::Keyed, Going::Closing),
    (Kind::Keyed, Going::Reset),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caller_that_goes_before_all_is_said_has_published_nothing() {
    let world = World::start().await;
    let mut first = 1_000;
    for (kind, going) in ALL {
        let request = world.request(kind, first, "half-a-request");
        for length in [1, 40, request.len() - 20, request.len() - 1] {
            let socket = world.say(&request, length).await;
            go(socket, going).await;
        }
        world.works().await;
        assert_eq!(world.stored(first, kind.events()).await, 0, "{kind:?}");
        first += 10;
    }
}

/// Lets the caller go while its publication has got so far that PostgreSQL was asked `asked` times; then the way is
/// open again.
async fn go_after(world: &World, kind: Kind, going: Going, asked: usize, first: u64) {
    let key = format!("key-of-{first}");
    let request = world.request(kind, first, &key);
    world.wire.close_after(asked);
    let before = world.wire.round_trips();
    let socket = world.say(&request, request.len()).await;
    let got_there = poll_until(AT_ONCE, async || {
        (world.wire.round_trips() >= before + asked).then_some(())
    });
    tokio::select! {
        got_there = got_there => got_there.expect("it gets there or is answered"),
        // A publication that needs fewer is over: it goes before its answer is read.
        answered = socket.readable() => answered.expect("a socket"),
    }
    go(socket, going).await;
    world.wire.open();
    world.works().await;
    let settled = poll_until(PATIENCE, async || {
        let active = "SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'";
        (world.sql.number(active).await == 0).then_some(())
    });
    settled.await.expect("nothing is under way");
    let stored = world.stored(first, kind.events()).await;
    let all = i64::try_from(kind.events()).expect("few");
    assert!(
        stored == 0 || stored == all,
        "{stored} of {all} are stored: {kind:?}, {going:?} after {asked}"
    );
    if matches!(kind, Kind::Keyed) {
        let client = world.client().header("idempotency-key", &key);
        let body = kind.body(first);
        let repeated = client.post(EVENTS, &body).await.expect_status(202).json();
        let again = client.post(EVENTS, &body).await.expect_status(202).json();
        assert_eq!(repeated, again);
        assert_eq!(world.stored(first, 1).await, 1, "{going:?} after {asked}");
        let id = format!(
            "SELECT count(*) FROM events WHERE id = '{}'",
            repeated["id"].as_str().expect("an id")
        );
        assert_eq!(world.sql.number(&id).await, 1, "the first answer");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caller_that_goes_while_it_is_stored_has_published_all_or_nothing() {
    let world = World::start().await;
    let mut first = 1_000;
    for (kind, going) in ALL {
        // A publication with a key asks five times: BEGIN, key, events, answer, COMMIT; the others once.
        let asked = if matches!(kind, Kind::Keyed) { 6 } else { 2 };
        for asked in 0..=asked {
            go_after(&world, kind, going, asked, first).await;
            first += 10;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_to_a_commit_that_is_lost_is_given_to_the_repeat() {
    let world = World::start().await;
    let client = world.client().header("idempotency-key", "lost");
    world.wire.lose_answer_to("COMMIT");
    let content = || Some(Content::json(&event(7)));
    let first = client.try_send(Method::POST, EVENTS, content()).await;
    let first = first.expect("it is answered").expect_status(503);
    assert!(first.header("retry-after").is_some());
    let repeated = client.post(EVENTS, &event(7)).await.expect_status(202);
    let id = repeated.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(world.stored(7, 1).await, 1);
    let stored = "SELECT id::text AS value FROM events
                  WHERE convert_from(payload, 'UTF8')::jsonb ->> 'sequence' = '7'";
    assert!(
        id.ends_with(&world.sql.texts(stored).await[0]) || id == world.sql.texts(stored).await[0]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caller_that_only_stops_talking_gets_its_answer() {
    let world = World::start().await;
    let request = world.request(Kind::Plain, 9, "");
    let mut socket = world.say(&request, request.len()).await;
    socket.shutdown().await.expect("half closed");
    let mut answer = vec![0; 12];
    let read = wait_for(PATIENCE, socket.read_exact(&mut answer)).await;
    read.expect("answered").expect("answered");
    assert_eq!(answer, b"HTTP/1.1 202");
}
