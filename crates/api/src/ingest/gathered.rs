//! Callers whose events go into the next commit.

use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::last_commit::LastCommit;
use super::waiting::Waiting;

/// Events in one commit at most. More, and the first one waits for the last one's insert; fewer, and each costs more.
const MAX_EVENTS: usize = 256;
/// Payload bytes in one commit, at which no further event is taken.
const MAX_PAYLOAD_BYTES: usize = 8 * 1024 * 1024;

/// Where callers come in.
pub(super) struct Arrivals {
    waiting: mpsc::Receiver<Waiting>,
    /// How many the last commit without the turn has taken since one had it; those before may have come again.
    left_count: usize,
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

    /// These go into a commit without the turn.
    pub(super) fn left_at_once(&mut self, gathered: &Gathered) {
        self.left_count = gathered.callers.len();
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

    fn has_room(&self) -> bool {
        self.callers.len() < MAX_EVENTS && self.payload_bytes < MAX_PAYLOAD_BYTES
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

    /// Waits for those whom the last commit answered, if they are likely to come again.
    ///
    /// Cancel safety: those that have come are kept; what was learnt of them is not.
    pub(super) async fn wait_for_others(
        &mut self,
        arrivals: &mut Arrivals,
        last_commit: &mut LastCommit,
    ) {
        let left_count = std::mem::take(&mut arrivals.left_count);
        if !self.has_room() {
            return;
        }
        let came_at = self.callers.iter().map(|one| one.came_at);
        let Some(wait) = last_commit.decide_wait(came_at, left_count) else {
            return;
        };
        // Whether time was up shows in who is here.
        let _ = timeout_at(wait.until, self.wait_for(wait.caller_count, arrivals)).await;
        last_commit.learn(wait, self.callers.len());
        self.take(arrivals);
    }

    /// Those that have not gone away meanwhile.
    pub(super) fn into_callers(mut self) -> Vec<Waiting> {
        self.callers.retain(|one| !one.answer.is_closed());
        self.callers
    }
}
