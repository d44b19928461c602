//! Both programs at work, callers and a receiver.

use std::time::Duration;

use reprise_testkit::{
    fixture::{Api, Dispatcher, Tenant, create_endpoint},
    journal::Journal,
    ledger::Verdict,
    network::Host,
    polling::poll_until,
    publisher::Publisher,
    receiver::Answer,
    sql::Sql,
};
use serde_json::{Value, json};

/// Longer than it takes to notice a dead dispatcher and to send again what it held, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Deliveries in flight at most of each dispatcher: what may come twice at most when its claims are forgotten.
pub const MAX_IN_FLIGHT: usize = 16;

/// What each program runs with, besides what the testkit gives it.
const ENVIRONMENT: [(&str, &str); 2] = [
    ("REPRISE_MAX_IN_FLIGHT", "16"),
    ("REPRISE_DATABASE_CONNECTIONS", "6"),
];

/// How a stage begins.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Dispatchers.
    pub dispatchers: usize,
    /// Callers that publish.
    pub callers: usize,
    /// How long each of them pauses after a call.
    pub pause: Duration,
    /// How long the receiver takes.
    pub delay: Duration,
    /// Fields of the endpoint.
    pub endpoint: Value,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            dispatchers: 2,
            callers: 5,
            pause: Duration::from_millis(20),
            delay: Duration::from_millis(30),
            // Retries come soon, and a dead attempt's lease ends soon.
            endpoint: json!({"timeout_seconds": 5, "retry_schedule": [1, 1, 1, 1, 1, 1, 1, 1]}),
        }
    }
}

/// Everything at work.
#[derive(Debug)]
pub struct Stage {
    /// Where the programs have their data.
    pub url: String,
    /// The database, looked at.
    pub sql: Sql,
    /// Who publishes.
    pub tenant: Tenant,
    /// The receiver.
    pub journal: Journal,
    /// The API.
    pub api: Api,
    /// The dispatchers.
    pub dispatchers: Vec<Dispatcher>,
    /// The callers.
    pub publisher: Publisher,
}

impl Stage {
    /// Starts everything on a migrated database.
    pub async fn start(url: &str, setting: &Setting) -> Self {
        Self::start_with(url, setting, &[]).await
    }

    /// [`start`](Self::start) with variables for the API and the dispatchers.
    pub async fn start_with(url: &str, setting: &Setting, environment: &[(&str, &str)]) -> Self {
        let delay = setting.delay;
        let journal = Journal::start_with(move |_| Answer::status(200).delay(delay)).await;
        Self::start_to(url, setting, environment, journal).await
    }

    /// [`start_with`](Self::start_with) with a receiver of the caller's.
    pub async fn start_to(
        url: &str,
        setting: &Setting,
        environment: &[(&str, &str)],
        journal: Journal,
    ) -> Self {
        let environment = [&ENVIRONMENT, environment].concat();
        let tenant = Tenant::create(url, "acme").await;
        let api = Api::start_with(url, &environment).await;
        let client = api.client(&tenant);
        create_endpoint(&client, &journal.url(), setting.endpoint.clone()).await;
        let mut dispatchers = Vec::new();
        for _ in 0..setting.dispatchers {
            dispatchers.push(Dispatcher::start_with(url, &environment).await);
        }
        let publisher = Publisher::start(client, setting.callers, setting.pause);
        Self {
            url: url.to_owned(),
            sql: Sql::at(url),
            tenant,
            journal,
            api,
            dispatchers,
            publisher,
        }
    }

    /// Starts another dispatcher, with variables of its own.
    pub async fn dispatcher(&self, environment: &[(&str, &str)]) -> Dispatcher {
        self.dispatcher_at(&self.url, environment).await
    }

    /// The same, with another way to the database.
    pub async fn dispatcher_at(&self, url: &str, environment: &[(&str, &str)]) -> Dispatcher {
        let environment = [&ENVIRONMENT, environment].concat();
        Dispatcher::start_with(url, &environment).await
    }

    /// The same, on another host.
    pub async fn dispatcher_on(&self, host: &Host, url: &str) -> Dispatcher {
        Dispatcher::start_on(host, url, &ENVIRONMENT).await
    }

    /// Starts another API on another host, to which the callers turn.
    pub async fn replace_api_on(&mut self, host: &Host, url: &str) {
        self.api = Api::start_on(host, url, &ENVIRONMENT).await;
        self.publisher.turn_to(self.api.client(&self.tenant));
    }

    /// Starts another API, to which the callers turn.
    pub async fn replace_api(&mut self) {
        self.api = self.another_api().await;
        self.publisher.turn_to(self.api.client(&self.tenant));
    }

    /// Starts another dispatcher with a failpoint armed, at which it dies or freezes.
    pub async fn doomed_dispatcher(&self, failpoint: &str) -> Dispatcher {
        let environment = [&ENVIRONMENT[..], &[("REPRISE_FAILPOINTS", failpoint)]].concat();
        Dispatcher::start_doomed(&self.url, &environment).await
    }

    /// Starts another API beside the one that there is.
    pub async fn another_api(&self) -> Api {
        Api::start_with(&self.url, &ENVIRONMENT).await
    }

    /// How many deliveries are leased: all that may be in flight.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is away.
    pub async fn leased(&self) -> usize {
        let leased = "SELECT count(*) FROM delivery_queue WHERE lease_token IS NOT NULL";
        usize::try_from(self.sql.number(leased).await).expect("a count")
    }

    /// How many deliveries a dispatcher holds.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is away.
    pub async fn held_by(&self, dispatcher: &Dispatcher) -> usize {
        let id = id_of(dispatcher).await;
        let held = format!("SELECT count(*) FROM delivery_queue WHERE leased_by = '{id}'");
        usize::try_from(self.sql.number(&held).await).expect("a count")
    }

    /// Waits until more than `count` deliveries are leased, and returns how many are.
    ///
    /// # Panics
    ///
    /// When that takes too long.
    pub async fn wait_for_leased(&self, count: usize) -> usize {
        let leased = poll_until(PATIENCE, async || {
            let leased = self.leased().await;
            (leased > count).then_some(leased)
        });
        leased.await.expect("something is in flight")
    }

    /// Waits until a dispatcher holds something.
    ///
    /// # Panics
    ///
    /// When that takes too long.
    pub async fn wait_until_busy(&self, dispatcher: &Dispatcher) {
        let is_busy = poll_until(PATIENCE, async || {
            (self.held_by(dispatcher).await > 0).then_some(())
        });
        is_busy.await.expect("it has something in flight");
    }

    /// Waits until a dispatcher's peers have judged it dead, and freed what it held.
    ///
    /// # Panics
    ///
    /// When that takes too long.
    pub async fn wait_until_judged(&self, dispatcher: &Dispatcher) {
        let id = id_of(dispatcher).await;
        let known = format!("SELECT count(*) FROM dispatchers WHERE id = '{id}'");
        self.sql.wait_for(&known, 0, PATIENCE).await;
    }

    /// Waits until `count` more calls are told to come again.
    ///
    /// # Panics
    ///
    /// When that takes too long.
    pub async fn wait_for_refusals(&self, count: usize) {
        let before = self.publisher.unavailable();
        let told = poll_until(PATIENCE, async || {
            (self.publisher.unavailable() >= before + count).then_some(())
        });
        told.await.expect("callers are told to come again");
    }

    /// Waits until `count` more events are accepted, and as many have come.
    ///
    /// # Panics
    ///
    /// When that takes too long.
    pub async fn wait_for_more(&self, count: usize) {
        let progress = || (self.publisher.accepted(), self.journal.arrived());
        let (accepted, arrived) = progress();
        let went_on = poll_until(PATIENCE, async || {
            let (accepted_now, arrived_now) = progress();
            let is_enough = accepted_now >= accepted + count && arrived_now >= arrived + count;
            is_enough.then_some(())
        });
        let went_on = went_on.await;
        assert!(
            went_on.is_some(),
            "(accepted, arrived) were {:?} and are {:?}",
            (accepted, arrived),
            progress()
        );
    }

    /// Ends the publishing, waits until nothing is left to do, and gives the account. The stage stays, for more
    /// questions.
    pub async fn settle(&mut self) -> Verdict {
        let idle = Publisher::start(self.api.anonymous(), 0, Duration::ZERO);
        let ledger = std::mem::replace(&mut self.publisher, idle).stop().await;
        ledger.settle(&self.journal, &self.sql, PATIENCE).await
    }
}

/// The id by which a dispatcher is known, which it says in its first lines.
async fn id_of(dispatcher: &Dispatcher) -> String {
    let id = |line: &str| {
        let (_, id) = line.split_once("dispatcher.id=")?;
        Some(id.to_owned())
    };
    dispatcher.process.wait_for_line(id, PATIENCE).await
}

/// Says what was measured: `make faults` shows it.
pub fn tell(what: &str, in_flight: usize, verdict: &Verdict) {
    eprintln!("MEASURED {what}: {in_flight} in flight at the fault; {verdict}");
}
