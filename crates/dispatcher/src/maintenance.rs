//! Maintenance: settling endpoints whose status has changed, dead rows, partitions, retention, what has expired.
//!
//! Every dispatcher does it; locks in PostgreSQL see to it that they do not do it twice.

mod vacuuming;

use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_core::store::settling::{self, Settled};
use reprise_core::store::{
    AsyncPgConnection, Database, StoreError, circuits, delivery_queue, endpoints, idempotency_keys,
    partitions,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::metrics::Metrics;
use crate::outage::Watch;
use crate::wakeup::Wakeup;
use vacuuming::Vacuuming;

/// How often settling looks: what an enabled endpoint's deliveries wait at most.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often partitions and old rows are looked after. They change by the week; an hour leaves many tries.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_hours(1);
/// How long a step of settling may take, or closing circuits. Longer, and a PostgreSQL that hangs is noticed late;
/// shorter, and a busy one settles nothing.
const DEADLINE: Duration = Duration::from_secs(10);
/// The same for partitions and old rows, of which there may be many; a partition waits some seconds for its table's
/// lock.
const HOUSEKEEPING_DEADLINE: Duration = Duration::from_mins(1);

/// The one task that maintains.
pub(crate) struct Maintenance {
    pub(crate) database: Database,
    pub(crate) retention: Duration,
    pub(crate) wakeup: Arc<Wakeup>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) watch: Watch,
    pub(crate) stop: CancellationToken,
}

impl Maintenance {
    /// Maintains until told to stop, even in the middle of it: what is not committed then is left as it was.
    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.maintain_for_ever()).await;
    }

    async fn maintain_for_ever(&mut self) {
        let mut kept_house_at: Option<Instant> = None;
        let mut vacuuming = Vacuuming::default();
        loop {
            let maintained = self.maintain(&mut kept_house_at, &mut vacuuming);
            let wait = match maintained.await {
                Ok(()) => {
                    self.watch.worked();
                    INTERVAL
                }
                Err(error) => self.watch.failed(&error),
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn maintain(
        &self,
        kept_house_at: &mut Option<Instant>,
        vacuuming: &mut Vacuuming,
    ) -> Result<(), StoreError> {
        self.settle().await?;
        self.close_circuits().await?;
        if vacuuming.is_due(Instant::now()) {
            self.vacuum(vacuuming).await?;
        }
        if kept_house_at.is_none_or(|at| at.elapsed() >= HOUSEKEEPING_INTERVAL) {
            self.keep_house().await?;
            *kept_house_at = Some(Instant::now());
        }
        Ok(())
    }

    async fn settle(&self) -> Result<(), StoreError> {
        loop {
            let settled = self.database.run(DEADLINE, settling::settle_one).await;
            match settled.flatten()? {
                Settled::Moved(_) => self.wakeup.hint_returned(),
                Settled::Nothing => return Ok(()),
            }
        }
    }

    /// Closes the circuits whose receivers have answered for some seconds.
    async fn close_circuits(&self) -> Result<(), StoreError> {
        let closing = self.database.run(DEADLINE, circuits::close_all_due);
        let closed = closing.await.flatten()?;
        if closed > 0 {
            info!(closed, "Closed {closed} circuits");
            self.metrics.circuits_closed(closed);
            // What was held back is claimed as everything else from now on.
            self.wakeup.hint_all();
        }
        Ok(())
    }

    /// Removes the queue's dead rows if there are many. PostgreSQL does so by itself, but looks for work once a minute
    /// only: at some thousand deliveries a second claims read past half a million dead rows by then.
    async fn vacuum(&self, vacuuming: &mut Vacuuming) -> Result<(), StoreError> {
        let dead = self.dead_rows().await?;
        if !vacuuming.is_wanted(dead, Instant::now()) {
            return Ok(());
        }
        let removing = self
            .database
            .run(HOUSEKEEPING_DEADLINE, delivery_queue::vacuum);
        removing.await.flatten()?;
        vacuuming.has_left(self.dead_rows().await?, Instant::now());
        Ok(())
    }

    async fn dead_rows(&self) -> Result<u64, StoreError> {
        let counting = self.database.run(DEADLINE, delivery_queue::dead_rows);
        counting.await.flatten()
    }

    async fn keep_house(&self) -> Result<(), StoreError> {
        let retention = self.retention;
        let keeping = async |conn: &mut AsyncPgConnection| {
            partitions::keep_ahead(conn).await?;
            partitions::drop_expired(conn, retention).await?;
            endpoints::forget_expired_secrets(conn).await?;
            while idempotency_keys::forget_old(conn).await? > 0 {}
            Ok::<_, StoreError>(())
        };
        self.database
            .run(HOUSEKEEPING_DEADLINE, keeping)
            .await
            .flatten()
    }
}
