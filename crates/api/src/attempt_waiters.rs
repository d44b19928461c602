//! Calls that wait until an attempt has been recorded.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reprise_core::attempt_answer::AttemptAnswer;
use reprise_core::ids::{AttemptId, TenantId};
use reprise_core::store::notifications::{self, Notification};
use reprise_core::store::{AsyncPgConnection, StoreError, attempts};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::debug;

use crate::error::ApiError;
use crate::state::AppState;

/// Calls of one tenant that may wait in one process. Each holds a connection of its client, not one to PostgreSQL.
const MAX_PER_TENANT: usize = 64;
/// Answers remembered that nobody waited for: the news may come before the call that made the attempt has learned its
/// id, some milliseconds after it. Of the busiest dispatchers this many are some hundred milliseconds' worth.
const MAX_RECENT: usize = 1_024;
/// First look without having been told: the attempt may have been recorded long ago, by an earlier request with the
/// same key.
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// Later looks, for notifications that were lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long looking for what was waited for may take. Longer, and the caller gives up before there is an answer, the
/// whole of the wait being over already; shorter, and a slow disk hides what is there.
const LOOK_DEADLINE: Duration = Duration::from_secs(2);

/// Who waits for what.
#[derive(Default)]
pub struct AttemptWaiters {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    by_attempt: HashMap<AttemptId, (Arc<Awaited>, usize)>,
    /// The newest last.
    recent: VecDeque<AttemptAnswer>,
    by_tenant: HashMap<TenantId, usize>,
}

/// An attempt that is waited for.
#[derive(Default)]
struct Awaited {
    /// Set before those who wait are woken, where the answer came with the news.
    answer: OnceLock<AttemptAnswer>,
    news: Notify,
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
    awaited: Arc<Awaited>,
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
        let heard = waiting
            .recent
            .iter()
            .find(|answer| answer.attempt_id == attempt_id)
            .copied();
        let (awaited, count) = waiting.by_attempt.entry(attempt_id).or_default();
        *count += 1;
        if let Some(answer) = heard {
            awaited.answer.get_or_init(|| answer);
        }
        Entry {
            waiters: Arc::clone(self),
            attempt_id,
            awaited: Arc::clone(awaited),
        }
    }

    fn tell(&self, answer: AttemptAnswer) {
        let mut waiting = self.lock();
        if let Some((awaited, _)) = waiting.by_attempt.get(&answer.attempt_id) {
            awaited.answer.get_or_init(|| answer);
            awaited.news.notify_waiters();
            return;
        }
        if waiting.recent.len() == MAX_RECENT {
            waiting.recent.pop_front();
        }
        waiting.recent.push_back(answer);
    }

    fn wake_all(&self) {
        for (awaited, _) in self.lock().by_attempt.values() {
            awaited.news.notify_waiters();
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
                    // One of another version is found by looking.
                    if let Ok(answer) = payload.parse() {
                        self.tell(answer);
                    }
                }
            }
        })
        .await;
    }
}

/// Waits until an attempt has been recorded, at most until `deadline`; `None` when it has not by then. While PostgreSQL
/// is away it goes on waiting: what is waited for has been made, and telling the caller to try again would make
/// another.
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
) -> Result<Option<AttemptAnswer>, ApiError> {
    let entry = state.attempt_waiters.enter(attempt_id);
    let awaited = &entry.awaited;
    let mut patience = FIRST_LOOK;
    let mut news = pin!(awaited.news.notified());
    loop {
        if let Some(answer) = awaited.answer.get() {
            return Ok(Some(*answer));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        let until = deadline.min(Instant::now() + patience);
        // Told, or time to look: the same thing follows.
        let _ = tokio::time::timeout_at(until, news.as_mut()).await;
        // From here on it hears again, so that what is recorded just after the look is not missed.
        news.set(awaited.news.notified());
        if awaited.answer.get().is_none()
            && let Some(answer) = look(state, tenant_id, attempt_id).await?
        {
            return Ok(Some(answer));
        }
        patience = LOOK_INTERVAL;
    }
}

/// Looks whether an attempt has been recorded; not while PostgreSQL is away.
async fn look(
    state: &AppState,
    tenant_id: TenantId,
    attempt_id: AttemptId,
) -> Result<Option<AttemptAnswer>, ApiError> {
    let looked = soon(state, async |conn| {
        attempts::find(conn, tenant_id, attempt_id).await
    });
    match looked.await {
        Err(ApiError::Unavailable(cause)) => {
            debug!(cause, "Could not look for an attempt, waiting on");
            Ok(None)
        }
        looked => Ok(looked?.as_ref().map(AttemptAnswer::from)),
    }
}

/// Does something with a connection for a caller who has waited already: within [`LOOK_DEADLINE`].
///
/// # Errors
///
/// What `work` returns, and [`ApiError::Unavailable`] when PostgreSQL is away or too slow.
pub async fn soon<T>(
    state: &AppState,
    work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<T, StoreError>,
) -> Result<T, ApiError> {
    state.with_connection_within(LOOK_DEADLINE, work).await
}
