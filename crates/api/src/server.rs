//! `reprise-api serve`.

use std::sync::Arc;
use std::time::Duration;

use actix_web::App;
use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use anyhow::Context;
use reprise_core::descriptors::raise_limit;
use reprise_core::panic_alarm::PanicAlarm;
use reprise_core::secret::SecretText;
use reprise_core::store::endpoints::check_keys;
use reprise_core::store::{Database, partitions};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::attempt_waiters::AttemptWaiters;
use crate::auth::known::KnownCredentials;
use crate::auth::login_limits::LoginLimits;
use crate::auth::password::Passwords;
use crate::auth::token::Tokens;
use crate::body::room::BodyRoom;
use crate::config::ServeConfig;
use crate::health::ReadinessLooks;
use crate::http_server::places::Places;
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::pagination::Cursors;
use crate::rate_limit::Buckets;
use crate::state::AppState;
use crate::subscriptions::SubscriptionCache;
use crate::wake_up::WakeUp;
use crate::{http_server, instrumentation, routes};

/// How often partitions are looked after; they are made two weeks ahead.
const PARTITIONS_INTERVAL: Duration = Duration::from_hours(1);
/// The same while PostgreSQL is away.
const PARTITIONS_RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// How long making them may take; each waits some seconds for its table's lock.
const PARTITIONS_DEADLINE: Duration = Duration::from_mins(1);
/// Seconds that requests under way are given after SIGTERM: more than a redelivery waits.
const SHUTDOWN_SECONDS: u64 = 35;

/// Serves until SIGTERM, then answers what is under way and returns. At SIGINT (Ctrl-C) it returns at once, and whoever
/// was to be answered is cut off.
///
/// # Errors
///
/// When the address can't be served on, or the master keys open nothing in the database. PostgreSQL may be away:
/// `/readyz` says so, and requests are answered 503.
pub async fn serve(config: ServeConfig) -> anyhow::Result<()> {
    raise_limit();
    let database = Database::new(config.database_url.expose(), config.database_connections);
    check_keys(&database, &config.keys).await?;
    let subscriptions = Arc::new(SubscriptionCache::default());
    let (metrics, wake_up) = (Metrics::default(), Arc::new(WakeUp::default()));
    let (ingest, writers) = Ingest::new(&database, &subscriptions, &metrics.ingest(), &wake_up);
    let mut state = build_state(&config, database, subscriptions, ingest, wake_up)?;
    state.metrics = metrics;
    let state = Data::new(state);
    let background = Background::start(&state, &config.database_url);
    for writer in writers {
        background.spawn(writer.run());
    }
    let served = serve_http(&config, &state, &background.panicked).await;
    background.stop().await;
    info!("Stopped");
    served
}

async fn serve_http(
    config: &ServeConfig,
    state: &Data<AppState>,
    panicked: &CancellationToken,
) -> anyhow::Result<()> {
    let listener = http_server::listen(config.listen)
        .with_context(|| format!("REPRISE_LISTEN: can't listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let rules = http_server::Rules {
        patience: http_server::PATIENCE,
        places: Places::new(
            config.max_connections_per_address,
            config.trusted_proxies.clone(),
            state.metrics.refused_connections(),
        ),
        shutdown_seconds: SHUTDOWN_SECONDS,
    };
    let (state, room) = (state.clone(), Data::new(BodyRoom::default()));
    let looks = Data::new(ReadinessLooks::default());
    let server = http_server::serve(listener, &rules, move || {
        App::new()
            .app_data(state.clone())
            .app_data(looks.clone())
            .app_data(room.clone())
            .configure(routes::configure)
            .wrap(from_fn(instrumentation::observe))
    })?;
    info!(
        "reprise-api {} listening on {address}",
        env!("CARGO_PKG_VERSION")
    );
    serve_until_it_ends(server, panicked).await
}

/// Serves until a signal has ended it, or until a task is gone that requests need: a supervisor starts all of it anew
/// then, while a server that goes on would refuse them for ever.
async fn serve_until_it_ends(
    mut server: Server,
    panicked: &CancellationToken,
) -> anyhow::Result<()> {
    let handle = server.handle();
    tokio::select! {
        served = &mut server => served.context("serving HTTP"),
        () = panicked.cancelled() => {
            let (served, ()) = tokio::join!(server, handle.stop(true));
            served.context("serving HTTP")?;
            anyhow::bail!("a task panicked that the others can't do without")
        }
    }
}

fn build_state(
    config: &ServeConfig,
    database: Database,
    subscriptions: Arc<SubscriptionCache>,
    ingest: Ingest,
    wake_up: Arc<WakeUp>,
) -> anyhow::Result<AppState> {
    Ok(AppState {
        database,
        keys: config.keys.clone(),
        url_rules: config.url_rules.clone(),
        tokens: Tokens::new(&config.keys),
        passwords: Passwords::new()?,
        known_credentials: KnownCredentials::default(),
        // A burst of one second's worth.
        request_limits: (config.rate_limit_per_key > 0)
            .then(|| Buckets::new(config.rate_limit_per_key, config.rate_limit_per_key.into())),
        login_limits: LoginLimits::new(config.login_failures_per_minute),
        trusted_proxies: config.trusted_proxies.clone(),
        cursors: Cursors::new(config.keys.clone()),
        subscriptions,
        ingest,
        metrics: Metrics::default(),
        wake_up,
        attempt_waiters: Arc::new(AttemptWaiters::default()),
    })
}

/// The tasks besides the requests, and their owner.
struct Background {
    tasks: TaskTracker,
    stopping: CancellationToken,
    /// One of them has panicked.
    panicked: CancellationToken,
}

impl Background {
    fn start(state: &Data<AppState>, database_url: &SecretText) -> Self {
        let background = Self {
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            panicked: CancellationToken::new(),
        };
        let (wake_up, database) = (Arc::clone(&state.wake_up), state.database.clone());
        background.spawn(async move { wake_up.run(&database).await });
        let (waiters, url) = (Arc::clone(&state.attempt_waiters), database_url.clone());
        background.spawn(async move { waiters.listen(url.expose()).await });
        let database = state.database.clone();
        background.spawn(async move { keep_partitions_ahead(&database).await });
        background.tasks.close();
        background
    }

    /// Runs a task until it is done or the server stops; each of them may be dropped at any point.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        let alarm = PanicAlarm::new(&self.panicked);
        self.tasks.spawn(async move {
            let _alarm = alarm;
            stopping.run_until_cancelled(task).await;
        });
    }

    async fn stop(self) {
        self.stopping.cancel();
        self.tasks.wait().await;
    }
}

async fn keep_partitions_ahead(database: &Database) {
    loop {
        let keeping = database.run(PARTITIONS_DEADLINE, partitions::keep_ahead);
        let pause = match keeping.await.flatten() {
            Ok(()) => PARTITIONS_INTERVAL,
            Err(error) => {
                warn!(%error, "Could not look after the partitions, trying again");
                PARTITIONS_RETRY_INTERVAL
            }
        };
        tokio::time::sleep(pause).await;
    }
}
