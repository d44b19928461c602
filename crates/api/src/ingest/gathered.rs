//! Callers whose events go into the next commit.

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::waiting::Waiting;

/// Events in one commit at most. More, and the first one waits for the last one's insert; fewer, and each costs more.
const MAX_EVENTS: usize = 256;
/// Payload bytes in one commit, at which no further event is taken.
const MAX_PAYLOAD_BYTES: usize = 8 * 1024 * 1024;

/// Where callers come in.
pub(super) struct Arrivals {
    waiting: mpsc::Receiver<Waiting>,
    /// How many have been taken into commits without the turn since one had it.
    pub(super) left_count: usize,
}

impl Arrivals {
    pub(super) fn new(waiting: mpsc::Receiver<Waiting>) -> Self {
        Self {
            waiting,
            left_count: 0,
        }
    }

    /// The next one; none when no more can come.
    pub(super) async fn next(&mut self) -> Option<Waiting> {
        self.waiting.recv().await
    }
}

/// Some callers, as they came.
pub(super) struct Gathered {
    callers: Vec<Waiting>,
    payload_bytes: usize,
}

impl From<Waiting> for Gathered {
    fn from(first: Waiting) -> Self {
        Self {
            payload_bytes: first.event.payload.len(),
            callers: vec![first],
        }
    }
}

impl Gathered {
    fn push(&mut self, one: Waiting) {
        self.payload_bytes += one.event.payload.len();
        self.callers.push(one);
    }

    pub(super) fn has_room(&self) -> bool {
        self.callers.len() < MAX_EVENTS && self.payload_bytes < MAX_PAYLOAD_BYTES
    }

    pub(super) fn len(&self) -> usize {
        self.callers.len()
    }

    /// Waits until there are so many, there is no room for more, or no more can come.
    ///
    /// Cancel safety: those that have come are kept.
    pub(super) async fn wait_for(&mut self, count: usize, arrivals: &mut Arrivals) {
        while self.callers.len() < count
            && self.has_room()
            && let Some(one) = arrivals.next().await
        {
            self.push(one);
        }
    }

    /// Takes those that have come meanwhile, as far as there is room.
    pub(super) fn take(&mut self, arrivals: &mut Arrivals) {
        while self.has_room()
            && let Ok(one) = arrivals.waiting.try_recv()
        {
            self.push(one);
        }
    }

    /// When each of them came.
    pub(super) fn came_at(&self) -> impl ExactSizeIterator<Item = Instant> {
        self.callers.iter().map(|one| one.came_at)
    }

    /// Those that have not gone away meanwhile.
    pub(super) fn into_callers(mut self) -> Vec<Waiting> {
        self.callers.retain(|one| !one.answer.is_closed());
        self.callers
    }
}
