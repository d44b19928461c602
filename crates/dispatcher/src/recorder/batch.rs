//! What the recorder has in hand.

use std::time::Instant;

use reprise_core::ids::{EndpointId, TenantId};
use reprise_core::store::leases::UnusedLease;
use reprise_core::store::recording::FinishedAttempt;

use super::{Ended, Outcome};
use crate::circuits::Change;
use crate::in_flight::Permit;

/// What is still to be written, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) finished: Vec<FinishedAttempt>,
    pub(super) unused: Vec<UnusedLease>,
    pub(super) permits: Vec<Permit>,
    /// When the responses had been read, of those whose wait has not been noted yet.
    pub(super) ended_at: Vec<Instant>,
    pub(super) circuit_changes: Vec<((TenantId, EndpointId), Change)>,
}

impl Batch {
    /// Leases that have not been ended yet, or perhaps have.
    pub(super) fn open_leases(&self) -> usize {
        self.finished.len() + self.unused.len()
    }
}

impl Extend<Ended> for Batch {
    fn extend<I: IntoIterator<Item = Ended>>(&mut self, more: I) {
        for one in more {
            self.permits.extend(one.permit);
            self.ended_at.push(one.at);
            match one.outcome {
                Outcome::Finished(finished) => self.finished.push(*finished),
                Outcome::Unused(lease) => self.unused.push(lease),
            }
        }
    }
}
