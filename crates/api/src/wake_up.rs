//! Telling the dispatchers that something is ready, without a NOTIFY per event: NOTIFY takes a lock at commit.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reprise_core::ready_hint::ReadyHint;
use reprise_core::store::events::Telling;
use reprise_core::store::{Database, notifications};
use tokio::sync::Notify;
use tracing::debug;

/// Time between two notifications of one process at least. Shorter costs commits; longer adds to the latency of the
/// second event after a quiet time, never to the first one's.
const MIN_INTERVAL: Duration = Duration::from_millis(2);
/// The same while commits hold [`MANY_EVENTS`] or more: then there is a queue before this, and dispatchers are busy. A
/// notification costs PostgreSQL as much as some four deliveries do.
const BUSY_INTERVAL: Duration = Duration::from_millis(10);
const MANY_EVENTS: usize = 8;

/// How long a notification may take. Longer, and the next ones wait behind a connection that nothing comes through any
/// more; shorter, and a busy PostgreSQL tells nobody.
const DEADLINE: Duration = Duration::from_secs(3);

/// How many times as long as it took after a commit that told it is told again at the earliest. All that notify wait
/// for each other until they are durable, on a standby too: where that takes long, most commits must not be among them.
const REST: u32 = 4;
/// As long at most. Longer, and after an outage in which a commit was lost dispatchers go by polling alone; shorter, and
/// more of the commits that wait for a slow standby wait for each other as well.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// What the dispatchers are still to be told. A commit that makes something ready tells it, where the last notification
/// was long enough ago; else it is told a little later, by the next commit that may, or, if none comes, by a notification
/// that nothing waits for.
#[derive(Default)]
pub struct WakeUp {
    asked: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Since when a commit is under way that tells.
    telling_since: Option<Instant>,
    not_before: Option<Instant>,
    untold: ReadyHint,
    /// Whether the last commit was a large one.
    is_busy: bool,
}

impl State {
    fn interval(&self) -> Duration {
        if self.is_busy {
            BUSY_INTERVAL
        } else {
            MIN_INTERVAL
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| now >= at)
    }

    /// How long it is until what is untold is told by itself: where large commits follow each other, the next one may do it,
    /// and while one is under way that tells, others do not. Left to them for longer, and what is ready is known later: a
    /// commit tells when it ends.
    fn until_alone(&self, now: Instant) -> Option<Duration> {
        let grace = if self.is_busy {
            MIN_INTERVAL
        } else {
            Duration::ZERO
        };
        let rested_at = self.not_before.map(|at| at + grace);
        let ended_at = self.telling_since.map(|since| since + self.interval());
        let left = rested_at.max(ended_at)?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Something was told, and that took so long.
    fn told(&mut self, now: Instant, took: Duration) {
        let rest = (took * REST).min(LONGEST_REST);
        let not_before = Some(now + self.interval().max(rest));
        self.not_before = self.not_before.max(not_before);
    }
}

impl WakeUp {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a commit of so many events that begins now is to tell of them, and what else. [`ended`](Self::ended) is to
    /// be called after it.
    pub fn turn(&self, event_count: usize) -> Telling {
        let now = Instant::now();
        let mut state = self.state();
        state.is_busy = event_count >= MANY_EVENTS;
        if state.telling_since.is_some() || !state.is_due(now) {
            return Telling::Nobody;
        }
        state.telling_since = Some(now);
        Telling::Dispatchers(std::mem::take(&mut state.untold))
    }

    /// A commit has ended, with or without telling what it should; `untold` it has not told.
    pub fn ended(&self, telling: &Telling, untold: &ReadyHint) {
        if matches!(telling, Telling::Dispatchers(_)) {
            let now = Instant::now();
            let mut state = self.state();
            let since = state.telling_since.take().unwrap_or(now);
            state.told(now, now.saturating_duration_since(since));
        }
        self.ask(untold);
    }

    /// Sees to it that the dispatchers are told. Returns at once.
    pub fn ask(&self, hint: &ReadyHint) {
        if !hint.is_nowhere() {
            self.state().untold.merge(hint);
            self.asked.notify_one();
        }
    }

    fn until_alone(&self) -> Option<Duration> {
        self.state().until_alone(Instant::now())
    }

    /// Tells what was asked for, for ever. A failure is nothing but a debug line: dispatchers poll besides.
    ///
    /// Cancel safety: dropping the future loses at most one hint.
    pub async fn run(&self, database: &Database) {
        loop {
            self.asked.notified().await;
            while let Some(left) = self.until_alone() {
                tokio::time::sleep(left).await;
            }
            let hint = std::mem::take(&mut self.state().untold);
            if hint.is_nowhere() {
                // A commit has told it meanwhile.
                continue;
            }
            let notifying = async |conn: &mut _| notifications::notify_ready(conn, &hint).await;
            if let Err(error) = database.run(DEADLINE, notifying).await.flatten() {
                debug!(%error, "Could not wake the dispatchers, they will find out by polling");
            }
            // It does not wait until it is durable, and so holds nobody up.
            self.state().told(Instant::now(), Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use reprise_core::ids::{EndpointId, TenantId};

    use super::*;

    fn hint() -> ReadyHint {
        let mut hint = ReadyHint::default();
        hint.add(TenantId::new(), EndpointId::new());
        hint
    }

    #[test]
    fn of_commits_one_at_a_time_tells_and_then_none_for_a_while_and_then_one_all_that_is_untold() {
        let wake_up = WakeUp::default();
        let (one, other) = (hint(), hint());
        let first = wake_up.turn(1);
        assert_eq!(first, Telling::Dispatchers(ReadyHint::default()));
        assert_eq!(wake_up.turn(1), Telling::Nobody, "one is under way");
        wake_up.ended(&Telling::Nobody, &one);
        wake_up.ended(&first, &ReadyHint::default());
        assert_eq!(wake_up.turn(1), Telling::Nobody, "that was a moment ago");
        wake_up.ended(&Telling::Nobody, &other);
        wake_up.state().not_before = Some(Instant::now());
        let mut both = one;
        both.merge(&other);
        assert_eq!(wake_up.turn(1), Telling::Dispatchers(both));
        assert!(wake_up.state().untold.is_nowhere(), "nobody else tells it");
    }

    #[test]
    fn what_large_commits_leave_untold_is_left_to_them_for_a_while() {
        let now = Instant::now();
        let until_alone = |is_busy| {
            let mut state = State {
                is_busy,
                ..State::default()
            };
            assert_eq!(state.until_alone(now), None, "nothing was told");
            state.told(now, Duration::ZERO);
            state.until_alone(now)
        };
        assert_eq!(until_alone(false), Some(MIN_INTERVAL));
        assert_eq!(until_alone(true), Some(BUSY_INTERVAL + MIN_INTERVAL));
    }

    #[test]
    fn what_is_untold_waits_a_moment_for_a_commit_that_tells() {
        let now = Instant::now();
        let mut state = State {
            telling_since: Some(now),
            ..State::default()
        };
        assert_eq!(state.until_alone(now), Some(MIN_INTERVAL));
        assert_eq!(state.until_alone(now + MIN_INTERVAL), None, "it may hang");
        state.told(now, Duration::from_millis(5));
        state.told(now, Duration::ZERO);
        let rest = Some(Duration::from_millis(5) * REST);
        assert_eq!(state.until_alone(now), rest, "of the slower one");
    }

    #[test]
    fn the_longer_a_commit_takes_and_the_larger_it_is_the_later_is_the_next_one_that_tells() {
        let now = Instant::now();
        let not_before = |is_busy, took| {
            let mut state = State {
                is_busy,
                ..State::default()
            };
            state.told(now, took);
            state.not_before
        };
        let quick = Duration::from_micros(100);
        assert_eq!(not_before(false, quick), Some(now + MIN_INTERVAL));
        assert_eq!(not_before(true, quick), Some(now + BUSY_INTERVAL));
        let slow = Duration::from_millis(50);
        assert_eq!(not_before(false, slow), Some(now + slow * REST));
        let lost = Duration::from_secs(10);
        assert_eq!(not_before(false, lost), Some(now + LONGEST_REST));
    }
}
