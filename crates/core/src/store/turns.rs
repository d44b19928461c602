//! Turns: whoever would wait for another caller of this process inside PostgreSQL waits here, without a connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

/// What is done once at a time: a hash of whatever tells it from the rest.
pub type TurnKey = [u8; 32];

/// The queues with the number of those who have the turn or wait for it.
type Queues = HashMap<TurnKey, (Arc<Queue<()>>, usize)>;

/// Who waits for what, in this process. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    queues: Arc<Mutex<Queues>>,
}

/// The turn, given up when dropped.
#[derive(Debug)]
pub struct Turn {
    // In this order: the next one's turn begins, then the place is left.
    _turn: OwnedMutexGuard<()>,
    _place: Place,
}

/// One caller's place in a queue, left when dropped, so that a queue is gone with its last caller.
#[derive(Debug)]
struct Place {
    turns: Turns,
    key: TurnKey,
}

impl Turns {
    /// Waits until nobody else has the turn with this key, first come, first served.
    ///
    /// Cancel safety: dropping the future leaves the queue.
    pub async fn take(&self, key: TurnKey) -> Turn {
        let (place, queue) = self.enter(key);
        Turn {
            _turn: queue.lock_owned().await,
            _place: place,
        }
    }

    fn enter(&self, key: TurnKey) -> (Place, Arc<Queue<()>>) {
        let mut queues = self.lock();
        let (queue, count) = queues.entry(key).or_default();
        *count += 1;
        let place = Place {
            turns: self.clone(),
            key,
        };
        (place, Arc::clone(queue))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queues = self.turns.lock();
        if let Some((_, count)) = queues.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                queues.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_turn_ends_before_the_next_one_with_its_key_begins() {
        let turns = Turns::default();
        let first = turns.take([1; 32]).await;
        assert!(turns.take([2; 32]).now_or_never().is_some(), "another key");
        let mut second = Box::pin(turns.take([1; 32]));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn nothing_is_left_of_those_who_came_waited_or_gave_up() {
        let turns = Turns::default();
        let first = turns.take([1; 32]).await;
        assert!(turns.take([1; 32]).now_or_never().is_none(), "it gave up");
        assert_eq!(turns.lock().len(), 1);
        drop(first);
        assert!(turns.lock().is_empty());
        drop(turns.take([1; 32]).await);
        assert!(turns.lock().is_empty());
    }
}
