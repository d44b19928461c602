//! The dispatcher: builds all tasks, owns them, and ends them in order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use reprise_core::ids::DispatcherId;
use reprise_core::secret::SecretText;
use reprise_core::store::notifications::{self, EXPRESS, READY};
use reprise_core::store::{Database, StoreError, dispatchers, leases};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::admin::{Admin, Listener};
use crate::attempt::Sender;
use crate::claimer::{Claimer, Walk};
use crate::config::Config;
use crate::heartbeat::{Heartbeat, Streak};
use crate::in_flight::Capacity;
use crate::maintenance::Maintenance;
use crate::metrics::Metrics;
use crate::outage::Outages;
use crate::outbound::Outbound;
use crate::promoter::Promoter;
use crate::recorder::Recorder;
use crate::signals::Signals;
use crate::targets::Targets;
use crate::wakeup::Wakeup;

/// How long a drain waits, beyond its timeout, for results to be written: longer than a busy PostgreSQL needs, shorter
/// than what a supervisor allows before it kills.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// A running dispatcher.
pub(crate) struct Dispatcher {
    id: DispatcherId,
    database: Database,
    drain_timeout: Duration,
    signals: Signals,
    stages: Stages,
}

/// The tasks in the order in which they end, each stage with what ends it.
#[derive(Debug, Default)]
struct Stages {
    /// Claimer and listener: what brings new work.
    claiming: Stage,
    /// One task per attempt; cancelling gives up those that still run.
    attempts: Stage,
    /// The recorder; it ends by itself when no attempt is left, cancelling makes it give up.
    recording: Stage,
    /// Heartbeat, promoter, maintenance, admin port: needed until the last result is written, since peers take the
    /// leases of a dispatcher that falls silent.
    upkeep: Stage,
    /// Outbound connections, which end with their client or when they have been unused for some seconds.
    connections: TaskTracker,
}

/// Tasks that end together.
#[derive(Clone, Debug, Default)]
struct Stage {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Stage {
    /// Waits until all tasks have ended by themselves.
    async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Tells all tasks to end and waits until they have.
    async fn stopped(&self) {
        self.stop.cancel();
        self.finished().await;
    }

    /// Lets the tasks end by themselves for a while, then tells them to. Returns whether they had to be told.
    async fn finished_within(&self, timeout: Duration) -> bool {
        if tokio::time::timeout(timeout, self.finished()).await.is_ok() {
            return false;
        }
        self.stopped().await;
        true
    }
}

/// What the tasks share.
#[derive(Clone)]
struct Shared {
    id: DispatcherId,
    database: Database,
    wakeup: Arc<Wakeup>,
    metrics: Arc<Metrics>,
    outages: Outages,
    capacity: Capacity,
}

impl Dispatcher {
    /// Starts everything. Waits for PostgreSQL if it is away.
    ///
    /// # Errors
    ///
    /// The configuration names something that can't be had: the admin port, or the file of authorities.
    pub(crate) async fn start(config: Config) -> Result<Self> {
        let signals = Signals::listen()?;
        let stages = Stages::default();
        let outbound = Outbound::new(&config.outbound, stages.connections.clone())?;
        let listener = Listener::bind(config.admin_listen).await?;
        let wakeup = Arc::new(Wakeup::default());
        let shared = Shared {
            id: DispatcherId::new(),
            database: Database::new(config.database_url.expose(), config.database_connections),
            capacity: Capacity::new(config.limits, Arc::clone(&wakeup)),
            wakeup,
            metrics: Arc::new(Metrics::new()),
            outages: Outages::default(),
        };
        let dispatcher = Self {
            id: shared.id,
            database: shared.database.clone(),
            drain_timeout: config.drain_timeout,
            signals,
            stages,
        };
        dispatcher.start_upkeep(&shared, listener, config.retention);
        dispatcher.start_work(&shared, config, outbound);
        Ok(dispatcher)
    }

    fn start_upkeep(&self, shared: &Shared, listener: Listener, retention: Duration) {
        let Stage { tasks, stop } = &self.stages.upkeep;
        let admin = Arc::new(Admin {
            database: shared.database.clone(),
            capacity: shared.capacity.clone(),
            metrics: Arc::clone(&shared.metrics),
            draining: self.stages.claiming.stop.clone(),
        });
        tasks.spawn(listener.serve(admin, tasks.clone(), stop.clone()));
        let promoter = Promoter {
            database: shared.database.clone(),
            wakeup: Arc::clone(&shared.wakeup),
            metrics: Arc::clone(&shared.metrics),
            watch: shared.outages.watch("promoting what is due"),
            stop: stop.clone(),
        };
        tasks.spawn(promoter.run());
        let maintenance = Maintenance {
            database: shared.database.clone(),
            retention,
            wakeup: Arc::clone(&shared.wakeup),
            watch: shared.outages.watch("maintenance"),
            stop: stop.clone(),
        };
        tasks.spawn(maintenance.run());
    }

    /// Starts what claims, sends and records, once the first heartbeat has told the peers of this dispatcher: the
    /// leases of one that they do not know would be freed by nobody.
    fn start_work(&self, shared: &Shared, config: Config, outbound: Outbound) {
        let attempts = &self.stages.attempts;
        // One delivery in flight has at most one result, so that sending one never waits.
        let (ended, results) = mpsc::channel(usize::from(config.limits.in_flight));
        let recorder = Recorder {
            database: shared.database.clone(),
            dispatcher_id: shared.id,
            ended: results,
            wakeup: Arc::clone(&shared.wakeup),
            metrics: Arc::clone(&shared.metrics),
            watch: shared.outages.watch("recording"),
            give_up: self.stages.recording.stop.clone(),
        };
        self.stages.recording.tasks.spawn(recorder.run());
        let claimer = Claimer {
            database: shared.database.clone(),
            dispatcher_id: shared.id,
            capacity: shared.capacity.clone(),
            targets: Targets::new(config.keys),
            sender: Sender {
                outbound,
                ended,
                metrics: Arc::clone(&shared.metrics),
                abort: attempts.stop.clone(),
            },
            attempts: attempts.tasks.clone(),
            wakeup: Arc::clone(&shared.wakeup),
            poll_interval: config.poll_interval,
            metrics: Arc::clone(&shared.metrics),
            watch: shared.outages.watch("claiming"),
            stop: self.stages.claiming.stop.clone(),
            walk: Walk::at_random(),
        };
        let mut heartbeat = Heartbeat {
            database: shared.database.clone(),
            dispatcher_id: shared.id,
            hostname: hostname(),
            wakeup: Arc::clone(&shared.wakeup),
            metrics: Arc::clone(&shared.metrics),
            watch: shared.outages.watch("heartbeat"),
            stop: self.stages.upkeep.stop.clone(),
            streak: Streak::default(),
        };
        let (claiming, upkeep) = (
            self.stages.claiming.clone(),
            self.stages.upkeep.tasks.clone(),
        );
        let listening = listen(
            config.database_url,
            Arc::clone(&shared.wakeup),
            claiming.stop.clone(),
        );
        self.stages.claiming.tasks.spawn(async move {
            let stop = claiming.stop.clone();
            tokio::select! {
                () = heartbeat.begin() => {}
                () = stop.cancelled() => return,
            }
            upkeep.spawn(heartbeat.run());
            claiming.tasks.spawn(listening);
            claiming.tasks.spawn(claimer.run());
        });
    }

    /// Works until a signal comes, then drains.
    ///
    /// # Errors
    ///
    /// A second signal came before the drain was over.
    pub(crate) async fn run(self) -> Result<()> {
        let Self {
            id,
            database,
            drain_timeout,
            mut signals,
            stages,
        } = self;
        info!(dispatcher.id = %id, "Dispatcher {id} is working");
        signals.next().await;
        tokio::select! {
            () = drain(id, &database, &stages, drain_timeout) => Ok(()),
            () = signals.next() => bail!("stopped by a second signal, before the drain was over"),
        }
    }
}

/// Ends everything in order. Only the end of the process may cancel it.
async fn drain(id: DispatcherId, database: &Database, stages: &Stages, timeout: Duration) {
    let in_flight = stages.attempts.tasks.len();
    info!(
        in_flight,
        "Draining: no more claims, {in_flight} deliveries in flight"
    );
    stages.claiming.stopped().await;
    if stages.attempts.finished_within(timeout).await {
        warn!(
            "The drain timeout has passed, deliveries in flight were given up and go back to the queue"
        );
    }
    if stages.recording.finished_within(FLUSH_TIMEOUT).await {
        warn!("PostgreSQL did not take the last results");
    }
    stages.upkeep.stopped().await;
    if let Err(error) = leave(id, database).await {
        warn!(%error, "Could not give back what is left, peers will after some seconds");
    }
    info!("Drained");
}

async fn leave(id: DispatcherId, database: &Database) -> Result<(), StoreError> {
    let mut conn = database.connection().await?;
    let released = leases::release_all(&mut conn, id).await?;
    if released > 0 {
        info!(released, "Gave {released} leases back");
    }
    dispatchers::remove(&mut conn, id).await
}

/// Wakes the claimer when somebody says that something is ready.
async fn listen(database_url: SecretText, wakeup: Arc<Wakeup>, stop: CancellationToken) {
    let listening = notifications::listen(database_url.expose(), &[READY, EXPRESS], |_| {
        wakeup.wake();
    });
    tokio::select! {
        () = listening => {}
        () = stop.cancelled() => {}
    }
}

/// The machine's name, for people who look at the table of dispatchers.
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}
