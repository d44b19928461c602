//! Publishing: requests that come at the same time share a commit, which costs PostgreSQL a fraction of one for each.
//!
//! While one commit is on its way the next requests gather and go together, with those of callers that are about to come
//! again (`last_commit.rs`): commits are as large as the load asks for, and where few publish nobody waits for others.
//! Each is answered only after its own data is durable, and none is refused because of another.

mod gathered;
mod last_commit;
mod together;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use reprise_core::failpoint;
use reprise_core::ids::TenantId;
use reprise_core::ready_hint::ReadyHint;
use reprise_core::store::events::NewEvent;
use reprise_core::store::{Database, StoreError};
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};
use tokio::time::Instant;

use crate::error::ApiError;
use crate::metrics::IngestMetrics;
use crate::subscriptions::SubscriptionCache;
use crate::wake_up::WakeUp;
use gathered::{Arrivals, Gathered};
use last_commit::LastCommit;
use together::{MAX_TRIES, Outcome, find_stored, keep_changing, store_together};
pub use together::{StoredEvents, publish};
use waiting::Waiting;

/// Commits under way at once. With one, PostgreSQL has nothing to do while the disk writes; with more, commits get
/// smaller and cost more each.
const WRITERS: usize = 2;
/// Events that are worth a commit of their own while another is under way. A commit costs PostgreSQL as much as some
/// ten events do: fewer, and it spends its time on commits, which shows where several APIs share a machine; more, and
/// they wait for nothing.
const ENOUGH: usize = 32;
/// Endpoints of a tenant beyond which its events go through a door of their own: nobody else's shall wait for the many
/// deliveries that they may make.
const MANY_ENDPOINTS: usize = 100;
/// Requests that may wait for a commit; what comes beyond them waits for a place, with its payload. A bound, since a
/// queue that PostgreSQL can't work off within [`DEADLINE`] only holds memory.
const MAX_WAITING: usize = 4_096;
/// How long events are stored one by one while none of them is taken. Longer, and callers wait for a PostgreSQL that
/// takes nothing; shorter, and events that it never takes are in the way of those behind them.
const REFUSED_FOR: Duration = Duration::from_secs(1);
/// Of so many it is not one alone, which may have waited for a connection.
const MIN_REFUSALS: usize = 2;
/// How long a request waits to be stored before its caller is told to try again; whether it was is open then.
const DEADLINE: Duration = Duration::from_secs(10);

/// The door to the shared commits.
pub struct Ingest {
    door: mpsc::Sender<Waiting>,
    /// For tenants with many endpoints, whose events make commits of their own.
    wide_door: mpsc::Sender<Waiting>,
    cache: Arc<SubscriptionCache>,
}

impl Ingest {
    /// The door, and the writers behind it, which are to be run until the server stops.
    pub fn new(
        database: &Database,
        cache: &Arc<SubscriptionCache>,
        metrics: &IngestMetrics,
        wake_up: &Arc<WakeUp>,
    ) -> (Self, Vec<Writer>) {
        let writer = |arrivals| Writer {
            arrivals,
            turn: Arc::new(Mutex::new(LastCommit::none())),
            database: database.clone(),
            cache: Arc::clone(cache),
            metrics: metrics.clone(),
            wake_up: Arc::clone(wake_up),
        };
        let (door, arrivals) = Writer::team(WRITERS, writer);
        let (wide_door, wide_arrivals) = Writer::team(1, writer);
        let ingest = Self {
            door,
            wide_door,
            cache: Arc::clone(cache),
        };
        (ingest, [arrivals, wide_arrivals].concat())
    }

    /// Stores an event with its deliveries: every endpoint made before this call began gets it, if it wants it.
    ///
    /// # Errors
    ///
    /// Those of the store. Nothing is stored then, unless it is [`ApiError::Unavailable`], which leaves that open.
    pub async fn publish(
        &self,
        tenant_id: TenantId,
        event: Arc<NewEvent>,
    ) -> Result<StoredEvents, ApiError> {
        let storing = async {
            let (answer, answered) = oneshot::channel();
            let waiting = Waiting {
                tenant_id,
                event,
                came_at: Instant::now(),
                tries: 0,
                answer,
            };
            let stopping = || ApiError::Unavailable("the server is stopping".to_owned());
            let is_wide = self.cache.endpoint_count(tenant_id) > MANY_ENDPOINTS;
            let door = if is_wide { &self.wide_door } else { &self.door };
            door.send(waiting).await.map_err(|_| stopping())?;
            answered.await.map_err(|_| stopping())?
        };
        let too_late = |_| {
            let seconds = DEADLINE.as_secs();
            ApiError::Unavailable(format!("not stored within {seconds} s"))
        };
        tokio::time::timeout(DEADLINE, storing)
            .await
            .map_err(too_late)?
    }
}

/// Stores what has gathered, one commit after the other.
#[derive(Clone)]
pub struct Writer {
    arrivals: Arc<Mutex<Arrivals>>,
    /// Held while waiting for callers and while storing, by the one that need not wait for [`ENOUGH`].
    turn: Arc<Mutex<LastCommit>>,
    database: Database,
    cache: Arc<SubscriptionCache>,
    metrics: IngestMetrics,
    wake_up: Arc<WakeUp>,
}

impl Writer {
    /// Writers that share a door.
    fn team(
        count: usize,
        writer: impl Fn(Arc<Mutex<Arrivals>>) -> Self,
    ) -> (mpsc::Sender<Waiting>, Vec<Self>) {
        let (door, arrivals) = mpsc::channel(MAX_WAITING);
        let writer = writer(Arc::new(Mutex::new(Arrivals::new(arrivals))));
        (door, vec![writer; count])
    }

    /// Writes until nobody can ask any more.
    ///
    /// Cancel safety: what was being stored is stored or not; its callers are told that the server stops.
    pub async fn run(self) {
        while let Some((gathered, turn)) = self.gather().await {
            self.store(gathered, turn).await;
        }
    }

    /// Waits for a caller, and then until no other commit is under way or enough have come, and for those that are about
    /// to come again; takes all that wait. Those that have gone are dropped.
    async fn gather(&self) -> Option<(Vec<Waiting>, Option<MutexGuard<'_, LastCommit>>)> {
        let mut arrivals = self.arrivals.lock().await;
        let mut gathered = Gathered::from(arrivals.next().await?);
        let mut turn = tokio::select! {
            biased;
            turn = self.turn.lock() => Some(turn),
            () = gathered.wait_for(ENOUGH, &mut arrivals) => None,
        };
        gathered.take(&mut arrivals);
        match &mut turn {
            Some(last_commit) => gathered.wait_for_others(&mut arrivals, last_commit).await,
            None => arrivals.left_at_once(&gathered),
        }
        Some((gathered.into_callers(), turn))
    }

    /// Stores events, in as few commits as they fit in. The next one with the turn learns whom this one has answered at
    /// once: nobody where it failed or took several commits, since those in the first may have come again meanwhile.
    async fn store(&self, gathered: Vec<Waiting>, turn: Option<MutexGuard<'_, LastCommit>>) {
        failpoint::hit("writer");
        let (began, count) = (Instant::now(), gathered.len());
        let outcomes = self.commit(&gathered).await;
        // Taken before anybody is answered, who may come again at once.
        let (ended_at, is_stored) = (Instant::now(), outcomes.is_ok());
        let mut open = self.answer(gathered, outcomes).await;
        let is_one_commit = is_stored && open.is_empty();
        while !open.is_empty() {
            let outcomes = self.commit(&open).await;
            open = self.answer(open, outcomes).await;
        }
        if let Some(mut last_commit) = turn {
            let answered_count = if is_one_commit { count } else { 0 };
            last_commit.end(answered_count, ended_at, ended_at - began);
        }
    }

    /// Stores events in one commit. When the answer to it is lost, the same events are stored again: those that are there
    /// already are found by their ids.
    async fn commit(&self, gathered: &[Waiting]) -> Result<Vec<Outcome>, StoreError> {
        match self.store_once(gathered).await {
            Err(StoreError::Unavailable(_)) => self.store_once(gathered).await,
            outcomes => outcomes,
        }
    }

    /// Answers callers, and returns those of whose events nothing has come yet. When the commit failed for a reason that
    /// may lie in one of the events, or since some are there already, each is stored alone.
    async fn answer(
        &self,
        gathered: Vec<Waiting>,
        outcomes: Result<Vec<Outcome>, StoreError>,
    ) -> Vec<Waiting> {
        match outcomes {
            Ok(outcomes) => {
                let told = gathered.into_iter().zip(outcomes);
                told.filter_map(|(one, outcome)| one.tell(outcome))
                    .collect()
            }
            Err(StoreError::Unavailable(cause)) => {
                for one in gathered {
                    one.answer(Err(ApiError::Unavailable(cause.clone())));
                }
                Vec::new()
            }
            Err(
                StoreError::Refused(_)
                | StoreError::Taken(_)
                | StoreError::Corrupt(_)
                | StoreError::Failed(_),
            ) => {
                self.store_each_alone(gathered).await;
                Vec::new()
            }
        }
    }

    /// Stores each in a commit of its own, so that one that can't be stored is in nobody's way, until it is PostgreSQL
    /// that takes nothing: the rest is told so at once.
    async fn store_each_alone(&self, gathered: Vec<Waiting>) {
        let (mut refused_from, mut refusals) = (Instant::now(), 0);
        for one in gathered {
            let stored = if refusals < MIN_REFUSALS || refused_from.elapsed() < REFUSED_FOR {
                self.store_alone(&one).await
            } else {
                Err(ApiError::Unavailable("it takes no events now".to_owned()))
            };
            if matches!(stored, Err(ApiError::Unavailable(_))) {
                refusals += 1;
            } else {
                (refused_from, refusals) = (Instant::now(), 0);
            }
            one.answer(stored);
        }
    }

    async fn store_once(&self, gathered: &[Waiting]) -> Result<Vec<Outcome>, StoreError> {
        let wanted: Vec<_> = gathered.iter().map(Waiting::wanted).collect();
        let telling = self.wake_up.turn(wanted.len());
        let storing =
            async |conn: &mut _| store_together(conn, &self.cache, &wanted, &telling).await;
        let begun = Instant::now();
        let stored = self.database.run(DEADLINE, storing).await;
        self.metrics.note_commit(gathered.len(), begun.elapsed());
        let stored = stored.and_then(|stored| stored);
        // What has failed may have been stored all the same.
        let untold = stored
            .as_ref()
            .map_or(&ReadyHint::Anywhere, |(_, untold)| untold);
        self.wake_up.ended(&telling, untold);
        Ok(stored?.0)
    }

    async fn store_alone(&self, one: &Waiting) -> Result<StoredEvents, ApiError> {
        for _ in 0..MAX_TRIES {
            match self.store_once(std::slice::from_ref(one)).await {
                Ok(mut outcomes) => {
                    if let Some(Outcome::Decided(stored)) = outcomes.pop() {
                        return stored;
                    }
                }
                // Ids are made here and random: it is this very event.
                Err(StoreError::Taken(_)) => return self.find_stored(one).await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(keep_changing())
    }

    async fn find_stored(&self, one: &Waiting) -> Result<StoredEvents, ApiError> {
        let finding = async |conn: &mut _| find_stored(conn, one.tenant_id, &one.event).await;
        self.database.run(DEADLINE, finding).await?
    }
}

#[cfg(test)]
mod tests;
