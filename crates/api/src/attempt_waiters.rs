//! Calls that wait until an attempt has been recorded.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reprise_core::attempt::Attempt;
use reprise_core::ids::{AttemptId, TenantId};
use reprise_core::store::attempts;
use reprise_core::store::notifications::{self, Notification};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::debug;

use crate::error::ApiError;
use crate::state::AppState;

/// Calls of one tenant that may wait in one process. Each holds a connection of its client, not one to PostgreSQL.
const MAX_PER_TENANT: usize = 64;
/// First look without having been told: the notification may have come before anybody waited for it.
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// Later looks, for notifications that were lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Who waits for what.
#[derive(Default)]
pub struct AttemptWaiters {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    by_attempt: HashMap<AttemptId, (Arc<Notify>, usize)>,
    by_tenant: HashMap<TenantId, usize>,
}

/// A place among the waiting, given up when dropped.
pub struct Place {
    waiters: Arc<AttemptWaiters>,
    tenant_id: TenantId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.waiters.lock();
        if let Some(count) = waiting.by_tenant.get_mut(&self.tenant_id) {
            *count -= 1;
            if *count == 0 {
                waiting.by_tenant.remove(&self.tenant_id);
            }
        }
    }
}

/// One waiting call's entry, removed when dropped.
struct Entry {
    waiters: Arc<AttemptWaiters>,
    attempt_id: AttemptId,
    recorded: Arc<Notify>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut waiting = self.waiters.lock();
        if let Some((_, count)) = waiting.by_attempt.get_mut(&self.attempt_id) {
            *count -= 1;
            if *count == 0 {
                waiting.by_attempt.remove(&self.attempt_id);
            }
        }
    }
}

impl AttemptWaiters {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, before anything is done that would have to be waited for.
    ///
    /// # Errors
    ///
    /// [`ApiError::TooManyWaiting`] when the tenant has all of its places taken.
    pub fn take_place(self: &Arc<Self>, tenant_id: TenantId) -> Result<Place, ApiError> {
        let mut waiting = self.lock();
        let count = waiting.by_tenant.entry(tenant_id).or_default();
        if *count >= MAX_PER_TENANT {
            return Err(ApiError::TooManyWaiting);
        }
        *count += 1;
        Ok(Place {
            waiters: Arc::clone(self),
            tenant_id,
        })
    }

    fn enter(self: &Arc<Self>, attempt_id: AttemptId) -> Entry {
        let mut waiting = self.lock();
        let (recorded, count) = waiting.by_attempt.entry(attempt_id).or_default();
        *count += 1;
        Entry {
            waiters: Arc::clone(self),
            attempt_id,
            recorded: Arc::clone(recorded),
        }
    }

    fn wake(&self, attempt_id: AttemptId) {
        if let Some((recorded, _)) = self.lock().by_attempt.get(&attempt_id) {
            recorded.notify_waiters();
        }
    }

    fn wake_all(&self) {
        for (recorded, _) in self.lock().by_attempt.values() {
            recorded.notify_waiters();
        }
    }

    /// Hears of recorded attempts, for ever, and wakes those who wait for them.
    ///
    /// Cancel safety: dropping the future closes the connection; those who wait look for themselves.
    pub async fn listen(&self, database_url: &str) {
        notifications::listen(database_url, &[notifications::RECORDED], |notification| {
            match notification {
                Notification::Connected => self.wake_all(),
                Notification::Heard { payload, .. } => {
                    if let Ok(attempt_id) = payload.parse() {
                        self.wake(attempt_id);
                    }
                }
            }
        })
        .await;
    }
}

/// Waits until an attempt has been recorded, at most until `deadline`; `None` when it has not by then. While PostgreSQL
/// is away it goes on waiting: what is waited for has been made, and telling the caller to try again would make another.
///
/// # Errors
///
/// [`ApiError::Internal`] when the attempt can't be read.
pub async fn wait_for_attempt(
    state: &AppState,
    _place: &Place,
    tenant_id: TenantId,
    attempt_id: AttemptId,
    deadline: Instant,
) -> Result<Option<Attempt>, ApiError> {
    let entry = state.attempt_waiters.enter(attempt_id);
    let mut patience = FIRST_LOOK;
    let mut recorded = pin!(entry.recorded.notified());
    loop {
        let until = deadline.min(Instant::now() + patience);
        // Told, or time to look: the same thing follows.
        let _ = tokio::time::timeout_at(until, recorded.as_mut()).await;
        // From here on it hears again, so that what is recorded just after the look is not missed.
        recorded.set(entry.recorded.notified());
        let looked = state
            .with_connection(async |conn| attempts::find(conn, tenant_id, attempt_id).await)
            .await;
        let attempt = match looked {
            Err(ApiError::Unavailable(cause)) => {
                debug!(cause, "Could not look for an attempt, waiting on");
                None
            }
            looked => looked?,
        };
        if attempt.is_some() || Instant::now() >= deadline {
            return Ok(attempt);
        }
        patience = LOOK_INTERVAL;
    }
}
