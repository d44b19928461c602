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

/// The way through leases of which each is ended in a transaction of its own. Those that PostgreSQL was not available for,
/// or that it refused, stay; where the statement failed for a mistake of ours the lease is given up.
///
/// Cancel safety: dropped half-way, what has not been ended, or perhaps has, is still open.
#[derive(Debug)]
pub(super) struct OneByOne<'a, T> {
    open: &'a mut Vec<T>,
    /// So many stay, at the front.
    staying: usize,
    pass: Pass,
}

/// What a pass through them came to.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// How many were ended.
    pub(super) ended: usize,
    /// The places of those that were refused, in their order.
    pub(super) refused: Vec<usize>,
    /// Why some are still open, if any are.
    pub(super) waits_for: Option<StoreError>,
}

impl<'a, T: Ending> OneByOne<'a, T> {
    pub(super) fn through(open: &'a mut Vec<T>) -> Self {
        Self {
            open,
            staying: 0,
            pass: Pass::default(),
        }
    }

    /// The one to end next.
    pub(super) fn next(&self) -> Option<&T> {
        self.open.get(self.staying)
    }

    /// Notes what came of it.
    pub(super) fn note(&mut self, result: Result<(), StoreError>) {
        match result {
            Ok(()) => {
                drop(self.open.swap_remove(self.staying));
                self.pass.ended += 1;
            }
            Err(error) if error.may_pass() => {
                if matches!(error, StoreError::Refused(_)) {
                    self.pass.refused.push(self.staying);
                }
                self.pass.waits_for = Some(error);
                self.staying += 1;
            }
            Err(error) => {
                let error = anyhow::Error::new(error);
                give_up(
                    &self.open.swap_remove(self.staying),
                    format_args!("{error:#}"),
                );
            }
        }
    }

    pub(super) fn end(self) -> Pass {
        self.pass
    }
}

/// Leaves a lease to its end, after which the attempt shows as lost.
pub(super) fn give_up(ending: &impl Ending, why: impl std::fmt::Display) {
    let id = ending.delivery_id();
    error!(delivery.id = %id, "A lease can't be ended, it will expire: {why}");
}
