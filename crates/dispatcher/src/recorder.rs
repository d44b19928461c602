//! The recorder: writes what came of attempts, many in one transaction, and gives their permits back.
//!
//! While one batch is being written the next gathers in the channel, so batches are as large as PostgreSQL is slow. A
//! result is held until it is written, through any outage: it is never sent again because of one.

mod batch;
mod ended;
mod inbox;
mod one_by_one;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_core::failpoint;
use reprise_core::ids::{DispatcherId, EndpointId, TenantId};
use reprise_core::retry::Decision;
use reprise_core::store::leases::{self, UnusedLease};
use reprise_core::store::recording::{self, FinishedAttempt, Lease};
use reprise_core::store::{Database, StoreError};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::circuits::{Change, Circuits};
use crate::metrics::Metrics;
use crate::outage::Watch;
use crate::wakeup::Wakeup;
use batch::Batch;
pub(crate) use ended::{Ended, Outcome};
pub(crate) use inbox::Inbox;

/// How long writing a batch may take. Longer, and results wait behind a connection that nothing comes through any more;
/// shorter, and a slow disk has them written again in vain.
const DEADLINE: Duration = Duration::from_secs(10);
/// After so many failures of a whole batch its results are written one by one: it may be one of them that fails.
const WHOLE_TRIES: u32 = 3;
/// Between two passes in which some results are written and others refused.
const AMONG_OTHERS: Duration = Duration::from_millis(100);

/// The one task that ends leases.
pub(crate) struct Recorder {
    pub(crate) database: Database,
    pub(crate) dispatcher_id: DispatcherId,
    pub(crate) inbox: Inbox,
    pub(crate) wakeup: Arc<Wakeup>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) circuits: Arc<Circuits>,
    pub(crate) watch: Watch,
    /// The last wait for PostgreSQL is over; what is not written then is left to its leases.
    pub(crate) give_up: CancellationToken,
}

impl Recorder {
    /// Writes until nobody can send any more and everything is written.
    pub(crate) async fn run(mut self) {
        loop {
            let gathered = self.inbox.gather().await;
            if gathered.is_empty() {
                break;
            }
            let mut batch = Batch::default();
            self.take(gathered, &mut batch);
            self.metrics.record_batch.observe_count(batch.open_leases());
            failpoint::hit("before_record");
            self.write_until_done(&mut batch).await;
            failpoint::hit("after_record");
            self.settle(&mut batch).await;
        }
    }

    /// Takes what has gathered into a batch.
    fn take(&self, gathered: Vec<Ended>, batch: &mut Batch) {
        batch.circuit_changes.extend(self.judge(&gathered));
        batch.extend(gathered);
    }

    fn judge(&self, gathered: &[Ended]) -> Vec<((TenantId, EndpointId), Change)> {
        let finished = gathered.iter().filter_map(|one| match &one.outcome {
            Outcome::Finished(finished) => Some((finished.as_ref(), one.is_limited())),
            Outcome::Unused(_) => None,
        });
        self.circuits.judge(finished, Instant::now())
    }

    /// What follows from what is written: circuits change, and then the permits are given back, so that whoever is
    /// claimed for with them finds the circuits as they are now. What is still open keeps as many.
    async fn settle(&self, batch: &mut Batch) {
        for at in batch.ended_at.drain(..) {
            self.metrics.record_wait_seconds.observe(at.elapsed());
        }
        let changes = std::mem::take(&mut batch.circuit_changes);
        self.change_circuits(&changes).await;
        batch.permits.truncate(batch.open_leases());
    }

    async fn change_circuits(&self, changes: &[((TenantId, EndpointId), Change)]) {
        if changes.is_empty() || self.give_up.is_cancelled() {
            return;
        }
        let changing = async |conn: &mut _| self.circuits.apply(conn, changes).await;
        if let Err(error) = self.database.run(DEADLINE, changing).await.flatten() {
            debug!(%error, "Circuits could not be changed, which is left to the next attempts");
        }
    }

    async fn write_until_done(&mut self, batch: &mut Batch) {
        let give_up = self.give_up.clone();
        let writing = self.write_again_and_again(batch);
        if give_up.run_until_cancelled(writing).await.is_none() {
            let count = batch.open_leases();
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
            let before = batch.open_leases();
            let written = if tries < WHOLE_TRIES {
                self.write_whole(batch).await
            } else {
                self.write_one_by_one(batch, tries - WHOLE_TRIES).await
            };
            tries = tries.saturating_add(1);
            match written {
                Ok(()) => return self.watch.worked(),
                Err(error) if error.may_pass() => {
                    let wait = if batch.open_leases() < before {
                        self.watch.worked();
                        self.settle(batch).await;
                        AMONG_OTHERS
                    } else {
                        self.watch.failed(&error)
                    };
                    tokio::time::sleep(wait).await;
                    self.take_more(batch);
                }
                // Not PostgreSQL's state but one of the results is at fault, and the others must not wait for it.
                Err(_) => tries = tries.max(WHOLE_TRIES),
            }
        }
    }

    /// Takes what has come meanwhile, which shall not wait for what is at fault: no more than there are permits.
    fn take_more(&mut self, batch: &mut Batch) {
        let gathered = self.inbox.take();
        self.take(gathered, batch);
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

    fn note(&self, finished: &[FinishedAttempt], recorded: &HashSet<Lease>) {
        let held = |one: &&FinishedAttempt| recorded.contains(&one.lease());
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
