//! Maintenance: settling endpoints whose status has changed, partitions, retention, what has expired.
//!
//! Every dispatcher does it; locks in PostgreSQL see to it that they do not do it twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_core::store::settling::{self, Settled};
use reprise_core::store::{
    AsyncPgConnection, Database, StoreError, circuits, endpoints, idempotency_keys, partitions,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::metrics::Metrics;
use crate::outage::Watch;
use crate::wakeup::Wakeup;

/// How often settling looks: what an enabled endpoint's deliveries wait at most.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often partitions and old rows are looked after. They change by the week; an hour leaves many tries.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_hours(1);

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
    /// Maintains until told to stop.
    pub(crate) async fn run(mut self) {
        let mut kept_house_at: Option<Instant> = None;
        while !self.stop.is_cancelled() {
            let wait = match self.maintain(&mut kept_house_at).await {
                Ok(()) => {
                    self.watch.worked();
                    INTERVAL
                }
                Err(error) => self.watch.failed(&error),
            };
            let _ = tokio::time::timeout(wait, self.stop.cancelled()).await;
        }
    }

    async fn maintain(&self, kept_house_at: &mut Option<Instant>) -> Result<(), StoreError> {
        let mut conn = self.database.connection().await?;
        self.settle(&mut conn).await?;
        self.close_circuits(&mut conn).await?;
        if kept_house_at.is_none_or(|at| at.elapsed() >= HOUSEKEEPING_INTERVAL) {
            self.keep_house(&mut conn).await?;
            *kept_house_at = Some(Instant::now());
        }
        Ok(())
    }

    async fn settle(&self, conn: &mut AsyncPgConnection) -> Result<(), StoreError> {
        while !self.stop.is_cancelled() {
            match settling::settle_one(conn).await? {
                Settled::Moved(_) => self.wakeup.hint_returned(),
                Settled::Nothing => return Ok(()),
            }
        }
        Ok(())
    }

    /// Closes the circuits whose receivers have answered for some seconds.
    async fn close_circuits(&self, conn: &mut AsyncPgConnection) -> Result<(), StoreError> {
        let closed = circuits::close_all_due(conn).await?;
        if closed > 0 {
            info!(closed, "Closed {closed} circuits");
            self.metrics.circuits_closed(closed);
            // What was held back is claimed as everything else from now on.
            self.wakeup.hint_all();
        }
        Ok(())
    }

    async fn keep_house(&self, conn: &mut AsyncPgConnection) -> Result<(), StoreError> {
        partitions::keep_ahead(conn).await?;
        partitions::drop_expired(conn, self.retention).await?;
        endpoints::forget_expired_secrets(conn).await?;
        while !self.stop.is_cancelled() && idempotency_keys::forget_old(conn).await? > 0 {}
        Ok(())
    }
}
