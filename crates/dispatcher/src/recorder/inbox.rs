//! What has ended and is not in a batch yet: it gathers until it is worth a transaction.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Ended;
use crate::wakeup::Wakeup;

/// Results in one transaction at most. More, and one commit keeps many permits; fewer, and commits cost more than what
/// is in them: measured 24 µs a delivery at 200.
const MAX_BATCH: usize = 200;
/// Results that are worth a transaction at once, but a quarter of all permits at most; fewer wait for more. More, and
/// they keep permits; fewer, and transactions cost more than what is in them: each costs PostgreSQL as much as some ten
/// results do, and twice that where many dispatchers share its processors.
const ENOUGH: usize = 128;
/// How long results wait for others, unless somebody waits to be told of one. Longer, and the next delivery to an
/// endpoint with a limit, or a claimer without permits, waits too; shorter, and few come together.
const MOMENT: Duration = Duration::from_millis(5);
/// For so many moments they wait where they are in nobody's way: a dispatcher that records every moment costs
/// PostgreSQL a tenth of a processor, and eight of them most of one. More, and one that is killed leaves more that was
/// sent and not recorded, and is sent again; fewer, and each of many dispatchers writes few results at a time.
const MOMENTS: u32 = 10;

/// The recorder's end of the channel on which attempts tell how they ended.
#[derive(Debug)]
pub(crate) struct Inbox {
    ended: mpsc::Receiver<Ended>,
    wakeup: Arc<Wakeup>,
}

impl Inbox {
    pub(crate) fn new(ended: mpsc::Receiver<Ended>, wakeup: Arc<Wakeup>) -> Self {
        Self { ended, wakeup }
    }

    /// Gathers what has ended, for some moments if that is little and in nobody's way; nothing when there is no more to
    /// come.
    pub(super) async fn gather(&mut self) -> Vec<Ended> {
        let mut gathered = Vec::with_capacity(MAX_BATCH);
        self.ended.recv_many(&mut gathered, MAX_BATCH).await;
        for _ in 0..MOMENTS {
            let gathering = self.gather_enough(&mut gathered);
            let is_enough = timeout(MOMENT, gathering).await.is_ok();
            let is_in_the_way = gathered.iter().any(Ended::is_limited);
            if is_enough || is_in_the_way || self.wakeup.is_room_wanted() {
                break;
            }
        }
        gathered
    }

    /// Gathers until there is enough, something that somebody waits for, or no more to come.
    async fn gather_enough(&mut self, gathered: &mut Vec<Ended>) {
        let enough = (self.ended.max_capacity() / 4).clamp(1, ENOUGH);
        while gathered.len() < enough && !gathered.iter().any(Ended::is_awaited) {
            let room = MAX_BATCH - gathered.len();
            if self.ended.recv_many(gathered, room).await == 0 {
                break;
            }
        }
    }

    /// What has come meanwhile, without waiting for more.
    pub(super) fn take(&mut self) -> Vec<Ended> {
        std::iter::from_fn(|| self.ended.try_recv().ok()).collect()
    }
}

#[cfg(test)]
mod tests;
