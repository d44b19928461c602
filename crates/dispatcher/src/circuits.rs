//! Circuits, as this dispatcher sees them: failures in a row at each endpoint, and what follows from an attempt for its
//! endpoint's circuit. The circuits themselves are kept in PostgreSQL, over all dispatchers.
//!
//! Nothing is written, and hardly anything looked up, for a receiver that answers.

mod recent;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reprise_core::circuit::{CircuitRules, FAILURES_WHILE_CLOSING, FailureRun, Sign};
use reprise_core::ids::{EndpointId, TenantId};
use reprise_core::retry::Jitter;
use reprise_core::store::delivery_queue::SeenCircuit;
use reprise_core::store::recording::FinishedAttempt;
use reprise_core::store::{AsyncPgConnection, StoreError, circuits};
use time::OffsetDateTime;
use tracing::{info, warn};

use self::recent::Recent;
use crate::attempt::BEGIN_WITHIN;
use crate::metrics::{CircuitChange, Metrics};

/// Endpoints that are remembered in any case, some 100 bytes each: several times as many as a tenant may have. Fewer,
/// and where more are failing at once, each is forgotten before it fails again, and no circuit opens.
const REMEMBERED: usize = 50_000;

type Key = (TenantId, EndpointId);

/// What this dispatcher knows.
#[derive(Debug)]
pub(crate) struct Circuits {
    rules: CircuitRules,
    metrics: Arc<Metrics>,
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    /// Endpoints whose last attempt here has failed.
    failing: Recent<Key, FailureRun>,
    /// Those whose circuit was not closed when they were claimed for.
    seen: Recent<Key, Seen>,
}

impl Default for Books {
    fn default() -> Self {
        Self {
            failing: Recent::with_room_for(REMEMBERED),
            seen: Recent::with_room_for(REMEMBERED),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    circuit: SeenCircuit,
    at: OffsetDateTime,
    /// Failures in a row since it began to close.
    failures: u32,
}

/// What is to become of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It opens, if nobody has changed the endpoint since this version.
    Open { version: i64 },
    /// It opens again, having opened so often before.
    Reopen { openings: u32 },
    /// It begins to close.
    BeginToClose,
}

impl Circuits {
    pub(crate) fn new(rules: CircuitRules, metrics: Arc<Metrics>) -> Self {
        Self {
            rules,
            metrics,
            books: Mutex::default(),
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how the circuits of these endpoints stand; those that are not in `seen` are closed.
    pub(crate) fn note(
        &self,
        endpoints: impl Iterator<Item = Key>,
        seen: &HashMap<Key, SeenCircuit>,
    ) {
        let at = OffsetDateTime::now_utc();
        let mut books = self.books();
        for key in endpoints {
            let Some(circuit) = seen.get(&key).copied() else {
                books.seen.remove(&key);
                continue;
            };
            let before = books.seen.get_mut(&key);
            let failures = before.filter(|before| before.circuit == circuit);
            let failures = failures.map_or(0, |before| before.failures);
            books.seen.insert(
                key,
                Seen {
                    circuit,
                    at,
                    failures,
                },
            );
        }
    }

    /// What follows from attempts for their endpoints' circuits. With each is told whether it was claimed under a
    /// limit.
    pub(crate) fn judge<'a>(
        &self,
        ended: impl Iterator<Item = (&'a FinishedAttempt, bool)>,
        now: Instant,
    ) -> Vec<(Key, Change)> {
        let mut books = self.books();
        let judged = ended.filter_map(|(finished, is_limited)| {
            let key = (finished.tenant_id, finished.endpoint_id);
            let change = books.judge(&self.rules, finished, is_limited, now)?;
            Some((key, change))
        });
        // Of each circuit the last one.
        let last: HashMap<Key, Change> = judged.collect();
        last.into_iter().collect()
    }

    /// Changes circuits, where they are still as they were.
    ///
    /// # Errors
    ///
    /// The last [`StoreError`]. What has not been changed then is left to the attempts that follow.
    pub(crate) async fn apply(
        &self,
        conn: &mut AsyncPgConnection,
        changes: &[(Key, Change)],
    ) -> Result<(), StoreError> {
        let mut applied = Ok(());
        for (key, change) in changes {
            let changed = match *change {
                Change::Open { version } => self.open(conn, *key, version).await,
                Change::Reopen { openings } => self.reopen(conn, *key, openings).await,
                Change::BeginToClose => self.begin_to_close(conn, *key).await,
            };
            applied = changed.and(applied);
        }
        applied
    }

    async fn open(
        &self,
        conn: &mut AsyncPgConnection,
        key: Key,
        version: i64,
    ) -> Result<(), StoreError> {
        let (pause, failing_for) = (self.pause(1), self.rules.failing_for);
        if circuits::open(conn, key, version, failing_for, pause).await? {
            self.metrics.circuit_changed(CircuitChange::Opened);
            warn!(
                endpoint.id = %key.1,
                "The receiver of endpoint {} counts as dead: its circuit is open for {} ms", key.1, pause.as_millis()
            );
        }
        Ok(())
    }

    async fn reopen(
        &self,
        conn: &mut AsyncPgConnection,
        key: Key,
        openings: u32,
    ) -> Result<(), StoreError> {
        let pause = self.pause(openings.saturating_add(1));
        if circuits::reopen(conn, key, openings, pause).await? {
            self.metrics.circuit_changed(CircuitChange::Reopened);
            info!(
                endpoint.id = %key.1,
                "The receiver of endpoint {} is still dead: its circuit is open for {} ms", key.1, pause.as_millis()
            );
        }
        Ok(())
    }

    async fn begin_to_close(
        &self,
        conn: &mut AsyncPgConnection,
        key: Key,
    ) -> Result<(), StoreError> {
        if circuits::begin_to_close(conn, key).await? {
            self.metrics.circuit_changed(CircuitChange::Closing);
            info!(
                endpoint.id = %key.1,
                "The receiver of endpoint {} answers again: its circuit is closing", key.1
            );
        }
        Ok(())
    }

    fn pause(&self, opening: u32) -> Duration {
        let jitter = Jitter::from_random_bits(rand::random());
        self.rules.pause(opening, jitter)
    }
}

impl Books {
    fn judge(
        &mut self,
        rules: &CircuitRules,
        finished: &FinishedAttempt,
        is_limited: bool,
        now: Instant,
    ) -> Option<Change> {
        let key = (finished.tenant_id, finished.endpoint_id);
        let sign = Sign::of(&finished.attempt);
        // Most attempts find nothing here.
        if sign == Sign::Alive && !self.failing.is_empty() {
            self.failing.remove(&key);
        }
        if !self.seen.is_empty() && self.is_closed_since(key, finished, is_limited) {
            self.seen.remove(&key);
        }
        match (sign, self.seen.get_mut(&key)) {
            (Sign::None, _) | (Sign::Alive, None) => None,
            (Sign::Alive, Some(seen)) => seen.is_alive(),
            (Sign::Dead, Some(seen)) if is_limited => seen.is_dead(),
            // Begun before the circuit opened.
            (Sign::Dead, Some(_)) => None,
            (Sign::Dead, None) => self.count_failure(key, rules, finished, now),
        }
    }

    /// Whether the endpoint was claimed for without a limit after its circuit was seen.
    fn is_closed_since(&mut self, key: Key, finished: &FinishedAttempt, is_limited: bool) -> bool {
        let seen = self.seen.get_mut(&key).filter(|_| !is_limited);
        seen.is_some_and(|seen| finished.attempt.started_at > seen.at + BEGIN_WITHIN)
    }

    fn count_failure(
        &mut self,
        key: Key,
        rules: &CircuitRules,
        finished: &FinishedAttempt,
        now: Instant,
    ) -> Option<Change> {
        let run = self
            .failing
            .get_or_insert_with(key, || FailureRun::begin(now));
        // Only a lost attempt has no duration, and that is no sign of anything.
        let took = finished.attempt.duration.unwrap_or(Duration::ZERO);
        run.count(took, rules, now);
        if !rules.is_dead(run, now) {
            return None;
        }
        // Whatever comes of it: if the circuit stays closed, others know better.
        self.failing.remove(&key);
        Some(Change::Open {
            version: finished.endpoint_version,
        })
    }
}

impl Seen {
    fn is_alive(&mut self) -> Option<Change> {
        self.failures = 0;
        let was_closing = std::mem::replace(&mut self.circuit.is_closing, true);
        (!was_closing).then_some(Change::BeginToClose)
    }

    fn is_dead(&mut self) -> Option<Change> {
        self.failures += 1;
        let enough = if self.circuit.is_closing {
            FAILURES_WHILE_CLOSING
        } else {
            1
        };
        (self.failures >= enough).then_some(Change::Reopen {
            openings: self.circuit.openings,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
