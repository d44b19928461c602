//! Noticing that PostgreSQL is away, once: one line when the first loop fails, one when the last has recovered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reprise_core::store::StoreError;
use tracing::{error, info, warn};

use crate::backoff::Backoff;

/// What the loops that use PostgreSQL know of it together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outages {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    failing_loops: usize,
    since: Option<Instant>,
}

impl Outages {
    /// For one loop; `activity` names it in the log.
    pub(crate) fn watch(&self, activity: &'static str) -> Watch {
        Watch {
            outages: self.clone(),
            activity,
            is_failing: false,
            backoff: Backoff::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begins(&self, error: &StoreError) {
        let mut state = self.state();
        state.failing_loops += 1;
        if state.since.is_none() {
            state.since = Some(Instant::now());
            warn!(%error, "PostgreSQL is not available, waiting until it is back");
        }
    }

    fn ends(&self) {
        let mut state = self.state();
        state.failing_loops = state.failing_loops.saturating_sub(1);
        if state.failing_loops == 0
            && let Some(since) = state.since.take()
        {
            let outage_ms = since.elapsed().as_millis();
            info!(outage_ms, "PostgreSQL is back after {outage_ms} ms");
        }
    }
}

/// One loop's view of PostgreSQL.
#[derive(Debug)]
pub(crate) struct Watch {
    outages: Outages,
    activity: &'static str,
    is_failing: bool,
    backoff: Backoff,
}

impl Watch {
    /// The loop's statements work.
    pub(crate) fn worked(&mut self) {
        self.backoff = Backoff::default();
        if std::mem::take(&mut self.is_failing) {
            self.outages.ends();
        }
    }

    /// A statement failed; returns how long to wait before the next try.
    pub(crate) fn failed(&mut self, error: &StoreError) -> Duration {
        if !error.may_pass() {
            let activity = self.activity;
            let cause = std::error::Error::source(error).map(ToString::to_string);
            error!(%error, cause, "A statement failed that should not: {activity}");
        } else if !std::mem::replace(&mut self.is_failing, true) {
            self.outages.begins(error);
        }
        self.backoff.next()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.worked();
    }
}
