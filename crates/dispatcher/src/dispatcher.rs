//! The dispatcher: builds all tasks, and owns them until they have ended.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use reprise_core::ids::DispatcherId;
use reprise_core::ready_hint::ReadyHint;
use reprise_core::secret::SecretText;
use reprise_core::store::Database;
use reprise_core::store::endpoints::check_keys;
use reprise_core::store::notifications::{self, EXPRESS, Notification, READY};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::admin::{Admin, Listener};
use crate::attempt::Sender;
use crate::circuits::Circuits;
use crate::claimer::{Claimer, PutOff, ReadyEndpoints, Unanswered};
use crate::config::Config;
use crate::drain::{Stages, drain};
use crate::heartbeat::{Heartbeat, SILENCE};
use crate::homes::Homes;
use crate::in_flight::Capacity;
use crate::limited::Limited;
use crate::maintenance::Maintenance;
use crate::metrics::Metrics;
use crate::outage::Outages;
use crate::outbound::Outbound;
use crate::promoter::{GRACE, Promoter};
use crate::queue_look::QueueLook;
use crate::recorder::{Ended, Inbox, Recorder};
use crate::signals::Signals;
use crate::stage::Stage;
use crate::streak::Streak;
use crate::targets::Targets;
use crate::wakeup::Wakeup;

/// A running dispatcher.
pub(crate) struct Dispatcher {
    id: DispatcherId,
    database: Database,
    drain_timeout: Duration,
    signals: Signals,
    stages: Stages,
}

/// What the tasks share.
#[derive(Clone)]
struct Shared {
    id: DispatcherId,
    database: Database,
    wakeup: Arc<Wakeup>,
    metrics: Arc<Metrics>,
    circuits: Arc<Circuits>,
    outages: Outages,
    capacity: Capacity,
    homes: Homes,
}

impl Dispatcher {
    /// Starts everything. PostgreSQL may be away; work begins when it is there.
    ///
    /// # Errors
    ///
    /// The configuration names something that can't be had: the admin port, or the file of authorities; or the master
    /// keys open nothing in the database.
    pub(crate) async fn start(config: Config) -> Result<Self> {
        let signals = Signals::listen()?;
        let stages = Stages::default();
        let outbound = Outbound::new(&config.outbound, stages.connections.clone())?;
        let listener = Listener::bind(config.admin_listen).await?;
        let database = Database::new(config.database_url.expose(), config.database_connections);
        check_keys(&database, &config.keys).await?;
        let wakeup = Arc::new(Wakeup::default());
        let metrics = Arc::new(Metrics::new());
        let id = DispatcherId::new();
        let shared = Shared {
            id,
            homes: Homes::alone(id),
            database,
            capacity: Capacity::new(config.limits, Arc::clone(&wakeup)),
            wakeup,
            circuits: Arc::new(Circuits::new(config.circuits, Arc::clone(&metrics))),
            metrics,
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
        let panicked = &self.stages.panicked;
        let upkeep = &self.stages.upkeep;
        let Stage { tasks, stop } = upkeep;
        let admin = Arc::new(Admin {
            database: shared.database.clone(),
            capacity: shared.capacity.clone(),
            metrics: Arc::clone(&shared.metrics),
            queue: QueueLook::default(),
            draining: self.stages.claiming.stop.clone(),
        });
        upkeep.spawn_vital(panicked, listener.serve(admin, tasks.clone(), stop.clone()));
        let promoter = Promoter {
            database: shared.database.clone(),
            wakeup: Arc::clone(&shared.wakeup),
            metrics: Arc::clone(&shared.metrics),
            watch: shared.outages.watch("promoting what is due"),
            stop: stop.clone(),
            streak: Streak::of(GRACE),
        };
        upkeep.spawn_vital(panicked, promoter.run());
        let maintenance = Maintenance {
            database: shared.database.clone(),
            retention,
            wakeup: Arc::clone(&shared.wakeup),
            metrics: Arc::clone(&shared.metrics),
            watch: shared.outages.watch("maintenance"),
            stop: stop.clone(),
        };
        upkeep.spawn_vital(panicked, maintenance.run());
    }

    /// Starts what claims, sends and records, once the first heartbeat has told the peers of this dispatcher: the
    /// leases of one that they do not know would be freed by nobody.
    fn start_work(&self, shared: &Shared, config: Config, outbound: Outbound) {
        let listening = listen(
            config.database_url.clone(),
            Arc::clone(&shared.wakeup),
            self.stages.claiming.stop.clone(),
        );
        // One delivery in flight has at most one result, so that handing it over never waits.
        let (ended, results) = mpsc::channel(usize::from(config.limits.in_flight));
        self.start_recorder(shared, results);
        let sender = Sender {
            outbound,
            ended,
            metrics: Arc::clone(&shared.metrics),
            abort: self.stages.attempts.stop.clone(),
        };
        let claimer = self.claimer(shared, config, sender);
        let mut heartbeat = self.heartbeat(shared);
        let panicked = self.stages.panicked.clone();
        let (claiming, upkeep) = (self.stages.claiming.clone(), self.stages.upkeep.clone());
        self.stages
            .claiming
            .spawn_vital(&self.stages.panicked, async move {
                tokio::select! {
                    () = heartbeat.begin() => {}
                    () = claiming.stop.cancelled() => return,
                }
                upkeep.spawn_vital(&panicked, heartbeat.run());
                claiming.spawn_vital(&panicked, listening);
                claiming.spawn_vital(&panicked, claimer.run());
            });
    }

    fn start_recorder(&self, shared: &Shared, results: mpsc::Receiver<Ended>) {
        let recording = &self.stages.recording;
        let recorder = Recorder {
            database: shared.database.clone(),
            dispatcher_id: shared.id,
            inbox: Inbox::new(results, Arc::clone(&shared.wakeup)),
            wakeup: Arc::clone(&shared.wakeup),
            metrics: Arc::clone(&shared.metrics),
            circuits: Arc::clone(&shared.circuits),
            watch: shared.outages.watch("recording"),
            give_up: recording.stop.clone(),
        };
        recording.spawn_vital(&self.stages.panicked, recorder.run());
    }

    fn claimer(&self, shared: &Shared, config: Config, sender: Sender) -> Claimer {
        Claimer {
            database: shared.database.clone(),
            dispatcher_id: shared.id,
            capacity: shared.capacity.clone(),
            targets: Targets::new(config.keys),
            sender,
            attempts: self.stages.attempts.tasks.clone(),
            wakeup: Arc::clone(&shared.wakeup),
            poll_interval: config.poll_interval,
            limited: Limited::new(config.poll_interval),
            circuits: Arc::clone(&shared.circuits),
            is_turn_of_limited: false,
            looked_at: None,
            claimed_at: None,
            unanswered: Unanswered::default(),
            metrics: Arc::clone(&shared.metrics),
            watch: shared.outages.watch("claiming"),
            stop: self.stages.claiming.stop.clone(),
            ready: ReadyEndpoints::new(),
            homes: shared.homes.clone(),
            put_off: PutOff::default(),
        }
    }

    fn heartbeat(&self, shared: &Shared) -> Heartbeat {
        Heartbeat {
            database: shared.database.clone(),
            dispatcher_id: shared.id,
            hostname: hostname(),
            homes: shared.homes.clone(),
            wakeup: Arc::clone(&shared.wakeup),
            metrics: Arc::clone(&shared.metrics),
            watch: shared.outages.watch("heartbeat"),
            stop: self.stages.upkeep.stop.clone(),
            streak: Streak::of(SILENCE),
        }
    }

    /// Works until a signal comes, then drains.
    ///
    /// # Errors
    ///
    /// A vital task panicked, or a second signal came before the drain was over.
    pub(crate) async fn run(self) -> Result<()> {
        let Self {
            id,
            database,
            drain_timeout,
            mut signals,
            stages,
        } = self;
        info!(dispatcher.id = %id, "Dispatcher {id} is working");
        tokio::select! {
            () = signals.next() => {}
            // Its leases are freed by the peers, as those of a dispatcher that was killed.
            () = stages.panicked.cancelled() => bail!("a task panicked that the others can't do without"),
        }
        tokio::select! {
            () = drain(id, &database, &stages, drain_timeout) => Ok(()),
            () = signals.next() => bail!("stopped by a second signal, before the drain was over"),
        }
    }
}

/// Wakes the claimer when somebody says that something is ready.
async fn listen(database_url: SecretText, wakeup: Arc<Wakeup>, stop: CancellationToken) {
    let hear = |heard| match heard {
        Notification::Heard { channel, payload } if channel == READY => {
            wakeup.hint_ready(&payload.parse().unwrap_or(ReadyHint::Anywhere));
        }
        Notification::Heard { channel, .. } if channel == EXPRESS => wakeup.hint_express(),
        Notification::Heard { .. } | Notification::Connected => wakeup.hint_all(),
    };
    let listening = notifications::listen(database_url.expose(), &[READY, EXPRESS], hear);
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
