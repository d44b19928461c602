//! Leases that are ended one by one, since together they could not be: one of them may be at fault, and the others must
//! not wait for it.

use reprise_core::ids::DeliveryId;
use reprise_core::store::StoreError;
use reprise_core::store::leases::UnusedLease;
use reprise_core::store::recording::FinishedAttempt;
use tracing::error;

/// What ends a lease, as far as the log shows it.
pub(super) trait Ending {
    fn delivery_id(&self) -> DeliveryId;
}

impl Ending for FinishedAttempt {
    fn delivery_id(&self) -> DeliveryId {
        self.delivery_id
    }
}

impl Ending for UnusedLease {
    fn delivery_id(&self) -> DeliveryId {
        self.delivery_id
    }
}

/// The way through leases of which each is ended in a transaction of its own. Those that PostgreSQL was not available for
/// stay, and if it ended none at all those that it refused as well: a full disk refuses everything. Where the statement
/// failed for a mistake of ours the lease is given up.
///
/// Cancel safety: dropped half-way, what has not been ended, or perhaps has, is still open.
#[derive(Debug)]
pub(super) struct OneByOne<'a, T> {
    open: &'a mut Vec<T>,
    /// So many stay, at the front.
    staying: usize,
    ended: usize,
    /// Which of these were refused.
    refused: Vec<(usize, StoreError)>,
    waits_for: Option<StoreError>,
}

/// What became of those that were not ended.
#[derive(Debug)]
pub(super) struct Passed<T> {
    /// Taken out: PostgreSQL refused them while it ended others, so that the fault is theirs.
    pub(super) refused: Vec<(T, StoreError)>,
    /// Why others are still open, if any are.
    pub(super) waits_for: Option<StoreError>,
}

impl<'a, T: Ending> OneByOne<'a, T> {
    pub(super) fn through(open: &'a mut Vec<T>) -> Self {
        Self {
            open,
            staying: 0,
            ended: 0,
            refused: Vec::new(),
            waits_for: None,
        }
    }

    /// The one to end next.
    pub(super) fn next(&self) -> Option<&T> {
        self.open.get(self.staying)
    }

    /// Notes what came of it.
    pub(super) fn note(&mut self, result: Result<(), StoreError>) {
        match result {
            Err(error @ StoreError::Refused(_)) => {
                self.refused.push((self.staying, error));
                self.staying += 1;
            }
            Err(error @ StoreError::Unavailable(_)) => {
                self.waits_for = Some(error);
                self.staying += 1;
            }
            Err(error) => give_up(&self.open.swap_remove(self.staying), &error),
            Ok(()) => {
                drop(self.open.swap_remove(self.staying));
                self.ended += 1;
            }
        }
    }

    pub(super) fn end(mut self) -> Passed<T> {
        if self.ended == 0 {
            let refused = self.refused.pop().map(|(_, error)| error);
            return Passed {
                waits_for: self.waits_for.or(refused),
                refused: Vec::new(),
            };
        }
        // From the back, so that the places of the others stay what they are.
        let refused = self.refused.into_iter().rev();
        let taken_out = refused.map(|(place, error)| (self.open.swap_remove(place), error));
        Passed {
            refused: taken_out.collect(),
            waits_for: self.waits_for,
        }
    }
}

/// Leaves a lease to its end, after which the attempt shows as lost.
pub(super) fn give_up(ending: &impl Ending, error: &StoreError) {
    let id = ending.delivery_id();
    let cause = std::error::Error::source(error).map(ToString::to_string);
    error!(delivery.id = %id, cause, "A lease can't be ended, it will expire: {error}");
}
