//! Publishing: requests that come at the same time share a commit, which costs PostgreSQL a fraction of one for each.
//!
//! While one commit is on its way the next requests gather and go together: commits are as large as the load asks for,
//! and a request that comes alone waits for nobody. Each is answered only after its own data is durable, and none is
//! refused because of another.

mod together;

use std::sync::Arc;
use std::time::Duration;

use reprise_core::ids::TenantId;
use reprise_core::store::events::{self, NewEvent};
use reprise_core::store::{Database, StoreError};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::error::ApiError;
use crate::subscriptions::SubscriptionCache;
use together::{Publication, keep_changing, store_together};
pub use together::{StoredEvents, publish};

/// Commits under way at once. With one, PostgreSQL has nothing to do while the disk writes; with more, commits get
/// smaller and cost more each.
const WRITERS: usize = 2;
/// Events in one commit at most. More, and the first one waits for the last one's insert; fewer, and each costs more.
const MAX_EVENTS: usize = 256;
/// Payload bytes in one commit, at which no further event is taken.
const MAX_PAYLOAD_BYTES: usize = 8 * 1024 * 1024;
/// Requests that may wait for a commit; what comes beyond them waits for a place, with its payload. A bound, since a
/// queue that PostgreSQL can't work off within [`DEADLINE`] only holds memory.
const MAX_WAITING: usize = 4_096;
/// How long a request waits to be stored before its caller is told to try again; whether it was is open then.
const DEADLINE: Duration = Duration::from_secs(10);

/// The door to the shared commits.
pub struct Ingest {
    door: mpsc::Sender<Waiting>,
}

/// An event whose caller waits.
struct Waiting {
    tenant_id: TenantId,
    event: Arc<NewEvent>,
    answer: oneshot::Sender<Result<StoredEvents, ApiError>>,
}

impl Ingest {
    /// The door, and the writers behind it, which are to be run until the server stops.
    pub fn new(database: &Database, cache: &Arc<SubscriptionCache>) -> (Self, Vec<Writer>) {
        let (door, arrivals) = mpsc::channel(MAX_WAITING);
        let arrivals = Arc::new(Mutex::new(arrivals));
        let writer = || Writer {
            arrivals: Arc::clone(&arrivals),
            database: database.clone(),
            cache: Arc::clone(cache),
        };
        let writers = std::iter::repeat_with(writer).take(WRITERS).collect();
        (Self { door }, writers)
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
                answer,
            };
            let stopping = || ApiError::Unavailable("the server is stopping".to_owned());
            self.door.send(waiting).await.map_err(|_| stopping())?;
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
pub struct Writer {
    arrivals: Arc<Mutex<mpsc::Receiver<Waiting>>>,
    database: Database,
    cache: Arc<SubscriptionCache>,
}

impl Writer {
    /// Writes until nobody can ask any more.
    ///
    /// Cancel safety: what was being stored is stored or not; its callers are told that the server stops.
    pub async fn run(self) {
        while let Some(gathered) = self.gather().await {
            self.store(gathered).await;
        }
    }

    /// Waits for a request and takes all that wait besides. Those whose callers have gone are dropped.
    async fn gather(&self) -> Option<Vec<Waiting>> {
        let mut arrivals = self.arrivals.lock().await;
        let first = arrivals.recv().await?;
        let mut payload_bytes = first.event.payload.len();
        let mut gathered = vec![first];
        while gathered.len() < MAX_EVENTS && payload_bytes < MAX_PAYLOAD_BYTES {
            let Ok(one) = arrivals.try_recv() else { break };
            payload_bytes += one.event.payload.len();
            gathered.push(one);
        }
        gathered.retain(|one| !one.answer.is_closed());
        Some(gathered)
    }

    /// Stores events in one commit. When the answer to the commit is lost, the same events are stored again: those that
    /// are there already are found by their ids. When it fails for a reason that may lie in one of them, or since some
    /// are there already, each is stored alone.
    async fn store(&self, gathered: Vec<Waiting>) {
        let stored = match self.store_once(&gathered).await {
            Err(StoreError::Unavailable(_)) => self.store_once(&gathered).await,
            stored => stored,
        };
        match stored {
            Ok(stored) => {
                for (one, stored) in gathered.into_iter().zip(stored) {
                    one.answer(stored.ok_or_else(keep_changing));
                }
            }
            Err(StoreError::Unavailable(cause)) => {
                for one in gathered {
                    one.answer(Err(ApiError::Unavailable(cause.clone())));
                }
            }
            Err(StoreError::Taken(_) | StoreError::Corrupt(_) | StoreError::Failed(_)) => {
                for one in gathered {
                    let stored = self.store_alone(&one).await;
                    one.answer(stored);
                }
            }
        }
    }

    async fn store_once(
        &self,
        gathered: &[Waiting],
    ) -> Result<Vec<Option<StoredEvents>>, StoreError> {
        let publications: Vec<_> = gathered.iter().map(Waiting::publication).collect();
        let storing = async |conn: &mut _| store_together(conn, &self.cache, &publications).await;
        self.database.run(DEADLINE, storing).await?
    }

    async fn store_alone(&self, one: &Waiting) -> Result<StoredEvents, ApiError> {
        match self.store_once(std::slice::from_ref(one)).await {
            Ok(mut stored) => stored.pop().flatten().ok_or_else(keep_changing),
            // Ids are made here and random: it is this very event.
            Err(StoreError::Taken(_)) => self.find_stored(one).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn find_stored(&self, one: &Waiting) -> Result<StoredEvents, ApiError> {
        let finding =
            async |conn: &mut _| events::find_stored(conn, one.tenant_id, one.event.id).await;
        let found = self.database.run(DEADLINE, finding).await??;
        let (created_at, count) = found.ok_or_else(|| {
            ApiError::Internal("an event's id is taken by none of the tenant's".to_owned())
        })?;
        Ok(StoredEvents {
            created_at,
            delivery_counts: vec![count],
        })
    }
}

impl Waiting {
    fn publication(&self) -> Publication<'_> {
        Publication {
            tenant_id: self.tenant_id,
            events: std::slice::from_ref(self.event.as_ref()),
        }
    }

    /// Tells the caller, unless that one has gone.
    fn answer(self, stored: Result<StoredEvents, ApiError>) {
        let _ = self.answer.send(stored);
    }
}
