//! Telling the dispatchers that something is ready, without a NOTIFY per event: NOTIFY takes a lock at commit.

use std::time::Duration;

use reprise_core::store::{Database, notifications};
use tokio::sync::Notify;
use tracing::debug;

/// Time between two notifications of one process at least. Shorter costs commits; longer adds to the latency of the
/// second event after a quiet time, never to the first one's.
const MIN_INTERVAL: Duration = Duration::from_millis(5);

/// Asks for a notification; many requests at once become one.
#[derive(Default)]
pub struct WakeUp {
    asked: Notify,
}

impl WakeUp {
    /// Notes that a delivery is ready. Returns at once.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// Sends the notifications that were asked for, for ever. A failure is nothing but a debug line: dispatchers
    /// poll besides.
    ///
    /// Cancel safety: dropping the future loses at most one hint.
    pub async fn run(&self, database: &Database) {
        loop {
            self.asked.notified().await;
            let notified = match database.connection().await {
                Ok(mut connection) => notifications::notify_ready(&mut connection).await,
                Err(error) => Err(error),
            };
            if let Err(error) = notified {
                debug!(%error, "Could not wake the dispatchers, they will find out by polling");
            }
            tokio::time::sleep(MIN_INTERVAL).await;
        }
    }
}
