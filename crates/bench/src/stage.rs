//! What a scenario plays on: the real programs on a durable PostgreSQL, a tenant, and a sink with an endpoint for each
//! lane.

mod bare;
mod queue;
mod waiting;

pub use self::queue::{
    attempts_by_dispatcher, delivered_or_queued, leased_by, newest_dispatcher, unfinished,
};

use anyhow::{Context, Result};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use reprise_testkit::{
    database::TestDatabase,
    fixture::{Api, Dispatcher, Tenant, create_endpoint},
};
use serde_json::{Value, json};

use crate::{
    clock::Clock,
    load::{Load, Pace, Request, Sent, Sequence, Until},
    resources::{Meter, Processes, Usage, find_postmaster},
    settings::Settings,
    sink::{Behaviour, Sink},
};

/// Quiet, but for the lines that say which port was taken.
const LOG: &str = "warn,reprise_api::server=info,reprise_dispatcher::admin=info";
/// Requests that fill caches and open connections before anything is measured.
const WARM_UP: u64 = 2_000;
/// The type of all events that no scenario calls otherwise.
pub const EVENT_TYPE: &str = "bench.event";

/// An endpoint of the stage: a lane of the sink, and what the endpoint is created with.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// How the sink behaves.
    pub behaviour: Behaviour,
    /// Further fields of the endpoint.
    pub fields: Value,
}

impl Receiver {
    /// One that behaves in some way, and gets all events.
    pub fn that(behaviour: Behaviour) -> Self {
        let fields = json!({});
        Self { behaviour, fields }
    }

    /// One that behaves in some way, and gets the events of one type.
    pub fn of(event_type: &str, behaviour: Behaviour) -> Self {
        let fields = json!({ "event_patterns": [event_type] });
        Self { behaviour, fields }
    }
}

/// A stage, ready to be played on.
pub struct Stage {
    /// The sink, with a lane for each receiver.
    pub sink: Sink,
    /// The dispatchers that run.
    pub dispatchers: Vec<Dispatcher>,
    /// The time.
    pub clock: Clock,
    /// The tenant that publishes.
    pub tenant: Tenant,
    /// Others, unless there are none, that publish with it.
    other_tenants: Vec<Tenant>,
    /// One, unless the scenario has started more.
    apis: Vec<Api>,
    database: TestDatabase,
    conn: AsyncPgConnection,
    settings: Settings,
    sequence: Sequence,
    postmaster: u32,
}

impl Stage {
    /// Starts the API; no dispatcher yet.
    pub async fn start(settings: &Settings, receivers: &[Receiver]) -> Result<Self> {
        let database = TestDatabase::create().await;
        let mut conn = database.connect().await;
        let postmaster = find_postmaster(&mut conn).await?;
        let clock = Clock::start();
        let behaviours: Vec<Behaviour> = receivers.iter().map(|one| one.behaviour).collect();
        let sink = Sink::start(clock, &behaviours)?;
        let api = Api::start_with(database.url(), &[("REPRISE_LOG", LOG)]).await;
        let tenant = Tenant::create(database.url(), "bench").await;
        for (lane, receiver) in receivers.iter().enumerate() {
            let fields = receiver.fields.clone();
            create_endpoint(&api.client(&tenant), &sink.url(lane), fields).await;
        }
        // Each scenario begins as far from the next checkpoint as the others.
        conn.batch_execute("CHECKPOINT").await?;
        Ok(Self {
            sink,
            dispatchers: Vec::new(),
            clock,
            tenant,
            other_tenants: Vec::new(),
            apis: vec![api],
            database,
            conn,
            settings: settings.clone(),
            sequence: Sequence::default(),
            postmaster,
        })
    }

    /// Starts some more APIs; the load goes to all of them.
    pub async fn add_apis(&mut self, count: usize) {
        for _ in 0..count {
            let api = Api::start_with(self.database.url(), &[("REPRISE_LOG", LOG)]).await;
            self.apis.push(api);
        }
    }

    /// Makes some more tenants with an endpoint each, who publish with the first one.
    pub async fn add_tenants(&mut self, count: usize) {
        for number in 0..count {
            let tenant = Tenant::create(self.database.url(), &format!("bench-{number}")).await;
            create_endpoint(&self.apis[0].client(&tenant), &self.sink.url(0), json!({})).await;
            self.other_tenants.push(tenant);
        }
    }

    /// Starts some more dispatchers, with further environment variables.
    pub async fn add_dispatchers(&mut self, count: usize, environment: &[(&str, &str)]) {
        let mut all = vec![("REPRISE_LOG", LOG)];
        all.extend(environment);
        for _ in 0..count {
            let dispatcher = Dispatcher::start_with(self.database.url(), &all).await;
            self.dispatchers.push(dispatcher);
        }
    }

    /// Freezes all dispatchers, so that a backlog can be made before any of them works on it.
    pub fn freeze_dispatchers(&self) {
        for dispatcher in &self.dispatchers {
            dispatcher.process.stop();
        }
    }

    /// Lets them go on, all at once.
    pub fn thaw_dispatchers(&self) {
        for dispatcher in &self.dispatchers {
            dispatcher.process.cont();
        }
    }

    /// A connection to the database.
    pub fn conn(&mut self) -> &mut AsyncPgConnection {
        &mut self.conn
    }

    /// Publishes until everything that is filled at first use is filled, and waits until all of it has arrived.
    pub async fn warm_up(&mut self) -> Result<()> {
        self.warm_up_with(EVENT_TYPE).await
    }

    /// [`Stage::warm_up`] with events of another type, which the first receiver gets.
    pub async fn warm_up_with(&mut self, event_type: &str) -> Result<()> {
        let pace = Pace::Closed(Until::Events(WARM_UP));
        let sent = self.load(event_type, pace).run().await?;
        if !self.dispatchers.is_empty() {
            self.wait_for_lane(0, &sent.sequences).await?;
            self.wait_for_empty_queue().await?;
        }
        Ok(())
    }

    /// Load that publishes one event per request.
    pub fn load(&self, event_type: &str, pace: Pace) -> Load {
        let api = self.apis[0].address();
        let bytes = self.settings.payload_bytes;
        let all = std::iter::once(&self.tenant).chain(&self.other_tenants);
        let request = |one: &Tenant| Request::publish(api, &one.api_key, event_type, bytes);
        self.load_of(all.map(request).collect(), pace)
    }

    /// Load that publishes batches.
    pub fn batches(&self, events: usize, pace: Pace) -> Load {
        let (api, key) = (self.apis[0].address(), &self.tenant.api_key);
        let bytes = self.settings.payload_bytes;
        let request = Request::publish_batch(api, key, EVENT_TYPE, bytes, events);
        self.load_of(vec![request], pace)
    }

    fn load_of(&self, requests: Vec<Request>, pace: Pace) -> Load {
        Load {
            targets: self.apis.iter().map(Api::address).collect(),
            requests,
            connections: self.settings.connections,
            pace,
            expected_status: 202,
            sequence: self.sequence.clone(),
            clock: self.clock,
        }
    }

    /// Publishes a backlog as fast as possible, while no dispatcher works.
    pub async fn publish_backlog(&mut self, events: u64) -> Result<Sent> {
        let pace = Pace::Closed(Until::Events(events));
        let sent = self.batches(100, pace).run().await?;
        self.conn.batch_execute("CHECKPOINT").await?;
        Ok(sent)
    }

    /// Reads all meters.
    pub async fn meter(&mut self) -> Result<Meter> {
        Meter::read(&self.processes()?, &mut self.conn).await
    }

    /// What has been used since.
    pub async fn used_since(&mut self, meter: Meter) -> Result<Usage> {
        meter.since(&self.processes()?, &mut self.conn).await
    }

    fn processes(&self) -> Result<Processes> {
        let dispatchers = self.dispatchers.iter();
        let dispatchers = dispatchers.map(|one| one.process.id().context("a dispatcher has ended"));
        let apis = self.apis.iter();
        let apis = apis.map(|one| one.process.id().context("an API has ended"));
        Ok(Processes {
            apis: apis.collect::<Result<_>>()?,
            dispatchers: dispatchers.collect::<Result<_>>()?,
            postmaster: self.postmaster,
        })
    }
}
