//! When the next request is to be sent.
//!
//! In the closed loop each connection sends as soon as its last request was answered: saturation. In the open loop
//! requests come by a schedule, whether or not the last ones were answered, and count from their scheduled time: who
//! falls behind is seen to.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::Semaphore;

use crate::clock::{Clock, between};

/// How fast to send.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As fast as answers come.
    Closed(Until),
    /// So many requests a second, for so long.
    Open {
        /// Requests a second.
        per_second: u32,
        /// How long.
        duration: Duration,
    },
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After that time.
    Elapsed(Duration),
    /// After so many events.
    Events(u64),
}

/// Hands out turns to the connections of a load.
#[derive(Debug)]
pub(super) enum Turns {
    Closed {
        until: Until,
        taken: AtomicU64,
        began_ns: u64,
        clock: Clock,
    },
    Open(Schedule),
}

impl Turns {
    pub(super) fn start(pace: Pace, connections: usize, clock: Clock) -> io::Result<Self> {
        match pace {
            Pace::Closed(until) => Ok(Self::Closed {
                until,
                taken: AtomicU64::new(0),
                began_ns: clock.now_ns(),
                clock,
            }),
            Pace::Open {
                per_second,
                duration,
            } => Schedule::start(per_second, duration, connections, clock).map(Self::Open),
        }
    }

    /// Waits for a turn for some events and returns the time it is for; `None` when there are no more.
    pub(super) async fn next(&self, events: u64) -> Option<u64> {
        match self {
            Self::Closed {
                until,
                taken,
                began_ns,
                clock,
            } => {
                let now_ns = clock.now_ns();
                let is_over = match until {
                    Until::Elapsed(duration) => between(*began_ns, now_ns) >= *duration,
                    Until::Events(count) => taken.fetch_add(events, Ordering::Relaxed) >= *count,
                };
                (!is_over).then_some(now_ns)
            }
            Self::Open(schedule) => schedule.next().await,
        }
    }
}

/// The turns of an open loop.
#[derive(Debug)]
pub(super) struct Schedule {
    due: Arc<Semaphore>,
    taken: AtomicU64,
    total: u64,
    interval: Duration,
    began_ns: u64,
}

impl Schedule {
    fn start(
        per_second: u32,
        duration: Duration,
        connections: usize,
        clock: Clock,
    ) -> io::Result<Self> {
        let interval = Duration::from_secs(1) / per_second.max(1);
        let total = duration.as_nanos() / interval.as_nanos();
        let schedule = Self {
            due: Arc::new(Semaphore::new(0)),
            taken: AtomicU64::new(0),
            total: u64::try_from(total).unwrap_or(u64::MAX),
            interval,
            began_ns: clock.now_ns(),
        };
        schedule.release_in_time(connections, clock)?;
        Ok(schedule)
    }

    /// Starts the thread that makes turns due. A thread, since a runtime's timers are only good to a millisecond.
    fn release_in_time(&self, connections: usize, clock: Clock) -> io::Result<()> {
        let due = Arc::clone(&self.due);
        let (began_ns, total, interval) = (self.began_ns, self.total, self.interval);
        thread::Builder::new()
            .name("pace".to_owned())
            .spawn(move || {
                let mut released = 0;
                while released < total {
                    let at_ns = scheduled(began_ns, interval, released);
                    let early = between(clock.now_ns(), at_ns);
                    if early.is_zero() {
                        due.add_permits(1);
                        released += 1;
                    } else {
                        thread::park_timeout(early);
                    }
                }
                // One more for each connection, so that each sees that there are no more turns.
                due.add_permits(connections);
            })
            .map(drop)
    }

    async fn next(&self) -> Option<u64> {
        self.due.acquire().await.ok()?.forget();
        let turn = self.taken.fetch_add(1, Ordering::Relaxed);
        (turn < self.total).then(|| scheduled(self.began_ns, self.interval, turn))
    }
}

fn scheduled(began_ns: u64, interval: Duration, turn: u64) -> u64 {
    let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    began_ns.saturating_add(interval_ns.saturating_mul(turn))
}
