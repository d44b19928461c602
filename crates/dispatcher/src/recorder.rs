//! The recorder: writes what came of attempts, many in one transaction, and gives their permits back.
//!
//! While one batch is being written the next gathers in the channel, so batches are as large as PostgreSQL is slow. A result is held until it is written, through any outage: it is never sent again
//! because of one.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_core::failpoint;
use reprise_core::ids::{DeliveryId, DispatcherId, EndpointId, LeaseToken, TenantId};
use reprise_core::retry::Decision;
use reprise_core::store::leases::{self, UnusedLease};
use reprise_core::store::recording::{self, FinishedAttempt};
use reprise_core::store::{Database, StoreError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::circuits::{Change, Circuits};
use crate::in_flight::Permit;
use crate::metrics::Metrics;
use crate::outage::Watch;
use crate::wakeup::Wakeup;

/// Results in one transaction at most. More, and one commit keeps many permits; fewer, and commits cost more than what
/// is in them: measured 24 µs a delivery at 200.
const MAX_BATCH: usize = 200;
/// Results that are worth a transaction at once; fewer wait [`GATHER_FOR`] for more. A transaction costs PostgreSQL as much
/// as some ten results do.
const ENOUGH: usize = 64;
/// How long a result waits for others, unless somebody waits for it. Longer would only hold permits.
const GATHER_FOR: Duration = Duration::from_millis(5);
/// How long writing a batch may take. Longer, and results wait behind a connection that nothing comes through any more;
/// shorter, and a slow disk has them written again in vain.
const DEADLINE: Duration = Duration::from_secs(10);
/// After so many failures of a whole batch its results are written one by one: it may be one of them that fails.
const WHOLE_TRIES: u32 = 3;

/// How a lease ends.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// With an attempt.
    Finished(Box<FinishedAttempt>),
    /// Nothing was sent.
    Unused(UnusedLease),
}

/// A lease that is to be ended, with the permit that its delivery holds until then.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) permit: Option<Permit>,
    /// When the response had been read, if there was a request.
    pub(crate) at: Instant,
}

impl Ended {
    /// Whether somebody waits for it.
    fn is_awaited(&self) -> bool {
        match &self.outcome {
            Outcome::Finished(finished) => finished.is_express,
            Outcome::Unused(_) => false,
        }
    }
}

/// The one task that ends leases.
pub(crate) struct Recorder {
    pub(crate) database: Database,
    pub(crate) dispatcher_id: DispatcherId,
    pub(crate) ended: mpsc::Receiver<Ended>,
    pub(crate) wakeup: Arc<Wakeup>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) circuits: Arc<Circuits>,
    pub(crate) watch: Watch,
    /// The last wait for PostgreSQL is over; what is not written then is left to its leases.
    pub(crate) give_up: CancellationToken,
}

/// What is still to be written.
#[derive(Debug, Default)]
struct Batch {
    finished: Vec<FinishedAttempt>,
    unused: Vec<UnusedLease>,
}

impl Recorder {
    /// Writes until nobody can send any more and everything is written.
    pub(crate) async fn run(mut self) {
        let mut gathered = Vec::with_capacity(MAX_BATCH);
        while self.gather(&mut gathered).await {
            let changes = self.judge(&gathered);
            let mut batch = Batch::default();
            let mut permits = Vec::with_capacity(gathered.len());
            let mut ended_at = Vec::with_capacity(gathered.len());
            for one in gathered.drain(..) {
                permits.extend(one.permit);
                ended_at.push(one.at);
                match one.outcome {
                    Outcome::Finished(finished) => batch.finished.push(*finished),
                    Outcome::Unused(lease) => batch.unused.push(lease),
                }
            }
            self.metrics.record_batch.observe_count(permits.len());
            failpoint::hit("before_record");
            self.write_until_done(batch).await;
            failpoint::hit("after_record");
            for at in ended_at {
                self.metrics.record_wait_seconds.observe(at.elapsed());
            }
            self.change_circuits(&changes).await;
            drop(permits);
        }
    }

    fn judge(&self, gathered: &[Ended]) -> Vec<((TenantId, EndpointId), Change)> {
        let finished = gathered.iter().filter_map(|one| match &one.outcome {
            Outcome::Finished(finished) => {
                let is_limited = one.permit.as_ref().is_some_and(Permit::is_limited);
                Some((finished.as_ref(), is_limited))
            }
            Outcome::Unused(_) => None,
        });
        self.circuits.judge(finished, Instant::now())
    }

    /// Before the permits are given back, so that whoever is claimed for then finds the circuits as they are now.
    async fn change_circuits(&self, changes: &[((TenantId, EndpointId), Change)]) {
        if changes.is_empty() || self.give_up.is_cancelled() {
            return;
        }
        let changing = async |conn: &mut _| self.circuits.apply(conn, changes).await;
        if let Err(error) = self.database.run(DEADLINE, changing).await.flatten() {
            debug!(%error, "Circuits could not be changed, which is left to the next attempts");
        }
    }

    /// Gathers results, for a little while if they are few; false when there are no more.
    async fn gather(&mut self, gathered: &mut Vec<Ended>) -> bool {
        if self.ended.recv_many(gathered, MAX_BATCH).await == 0 {
            return false;
        }
        let gathering = async {
            while gathered.len() < ENOUGH && !gathered.iter().any(Ended::is_awaited) {
                if self
                    .ended
                    .recv_many(gathered, MAX_BATCH - gathered.len())
                    .await
                    == 0
                {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(GATHER_FOR, gathering).await;
        true
    }

    async fn write_until_done(&mut self, mut batch: Batch) {
        let give_up = self.give_up.clone();
        let writing = self.write_again_and_again(&mut batch);
        if give_up.run_until_cancelled(writing).await.is_none() {
            let count = batch.finished.len() + batch.unused.len();
            warn!(
                count,
                "Stopped before {count} results were written, their leases will expire"
            );
        }
    }

    /// Cancel safety: what has not been written yet, or perhaps has, is still in the batch.
    async fn write_again_and_again(&mut self, batch: &mut Batch) {
        let mut tries = 0_u32;
        loop {
            let written = if tries < WHOLE_TRIES {
                self.write_whole(batch).await
            } else {
                self.write_one_by_one(batch).await
            };
            tries = tries.saturating_add(1);
            match written {
                Ok(()) => return self.watch.worked(),
                // Not PostgreSQL's state but one of the results is at fault, and the others must not wait for it.
                Err(StoreError::Taken(_) | StoreError::Corrupt(_) | StoreError::Failed(_)) => {
                    tries = WHOLE_TRIES;
                }
                Err(error @ StoreError::Unavailable(_)) => {
                    let wait = self.watch.failed(&error);
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    async fn write_whole(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let begun = Instant::now();
        if !batch.finished.is_empty() {
            self.record(&batch.finished).await?;
            batch.finished.clear();
        }
        if !batch.unused.is_empty() {
            self.give_back(&batch.unused).await?;
            batch.unused.clear();
        }
        self.metrics.record_seconds.observe(begun.elapsed());
        Ok(())
    }

    /// Ends each lease in a transaction of its own. One that PostgreSQL was not available for stays in the batch.
    async fn write_one_by_one(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let mut finished = OneByOne::default();
        while let Some(one) = batch.finished.get(finished.left) {
            let (id, recorded) = (
                one.delivery_id,
                self.record(std::slice::from_ref(one)).await,
            );
            finished.note(&mut batch.finished, id, recorded);
        }
        let mut unused = OneByOne::default();
        while let Some(one) = batch.unused.get(unused.left) {
            let (id, given_back) = (
                one.delivery_id,
                self.give_back(std::slice::from_ref(one)).await,
            );
            unused.note(&mut batch.unused, id, given_back);
        }
        let unavailable = finished.unavailable.or(unused.unavailable);
        unavailable.map_or(Ok(()), Err)
    }

    async fn record(&self, finished: &[FinishedAttempt]) -> Result<(), StoreError> {
        let id = self.dispatcher_id;
        let recording = async |conn: &mut _| recording::record(conn, id, finished).await;
        let recorded = self.database.run(DEADLINE, recording).await.flatten()?;
        self.note(finished, &recorded);
        Ok(())
    }

    async fn give_back(&self, unused: &[UnusedLease]) -> Result<(), StoreError> {
        let giving = async |conn: &mut _| leases::give_back(conn, unused).await;
        self.database.run(DEADLINE, giving).await.flatten()?;
        self.metrics.given_back.add(unused.len());
        self.wakeup.hint_all();
        Ok(())
    }

    fn note(&self, finished: &[FinishedAttempt], recorded: &HashSet<LeaseToken>) {
        let held = |one: &&FinishedAttempt| recorded.contains(&one.lease_token);
        self.metrics.recorded(finished.iter().filter(held));
        let fenced = finished.len().saturating_sub(recorded.len());
        if fenced > 0 {
            self.metrics.fenced.add(fenced);
            debug!(
                fenced,
                "{fenced} results came after their leases had ended, and were dropped"
            );
        }
        let is_due_at_once = |one: &FinishedAttempt| matches!(one.decision, Decision::Retry { after } if after.is_zero());
        if finished.iter().any(is_due_at_once) {
            self.wakeup.hint_returned();
        }
    }
}

/// How far leases have been ended one by one.
#[derive(Debug, Default)]
struct OneByOne {
    /// So many are left for later, at the front.
    left: usize,
    unavailable: Option<StoreError>,
}

impl OneByOne {
    /// Notes what became of the next one. Where it failed although PostgreSQL works it is logged and dropped: the lease
    /// expires, and the attempt shows as lost.
    fn note<T>(
        &mut self,
        waiting: &mut Vec<T>,
        delivery_id: DeliveryId,
        ended: Result<(), StoreError>,
    ) {
        match ended {
            Err(error @ StoreError::Unavailable(_)) => {
                self.unavailable = Some(error);
                self.left += 1;
                return;
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                error!(delivery.id = %delivery_id, cause, "A lease can't be ended, it will expire: {error}");
            }
            Ok(()) => {}
        }
        waiting.swap_remove(self.left);
    }
}
