//! The end: claiming first, then what is in flight, then what is still to be written, and the heartbeat last.

use std::time::Duration;

use reprise_core::ids::DispatcherId;
use reprise_core::store::{Database, StoreError, dispatchers, leases};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::stage::Stage;

/// How long a drain waits, beyond its timeout, for results to be written: longer than a busy PostgreSQL needs, shorter
/// than what a supervisor allows before it kills.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long saying good-bye may take: peers free what is left when it fails.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The tasks in the order in which they end, each stage with what ends it.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    /// Claimer and listener: what brings new work.
    pub(crate) claiming: Stage,
    /// One task per attempt; cancelling gives up those that still run.
    pub(crate) attempts: Stage,
    /// The recorder; it ends by itself when no attempt is left, cancelling makes it give up.
    pub(crate) recording: Stage,
    /// Heartbeat, promoter, maintenance, admin port: needed until the last result is written, since peers take the
    /// leases of a dispatcher that falls silent.
    pub(crate) upkeep: Stage,
    /// A vital task has panicked.
    pub(crate) panicked: CancellationToken,
    /// Outbound connections, which end with their client or when they have been unused for some seconds.
    pub(crate) connections: TaskTracker,
}

/// Ends everything in order. Only the end of the process may cancel it.
pub(crate) async fn drain(
    id: DispatcherId,
    database: &Database,
    stages: &Stages,
    timeout: Duration,
) {
    // Before anybody is told: from here on it is not ready.
    stages.claiming.stop.cancel();
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
    let leaving = async |conn: &mut _| {
        let released = leases::release_all(conn, id).await?;
        dispatchers::remove(conn, id).await?;
        Ok(released)
    };
    let released = database.run(LEAVE_TIMEOUT, leaving).await.flatten()?;
    if released > 0 {
        info!(released, "Gave {released} leases back");
    }
    Ok(())
}
