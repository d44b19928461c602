//! One delivery's part of the overall limit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use reprise_core::ids::EndpointId;
use reprise_core::store::delivery_queue::Claim;
use tokio::sync::OwnedSemaphorePermit;

use super::Shared;

/// Permits that were taken for a claim.
#[derive(Debug)]
pub(crate) struct Permits {
    held: Option<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
}

impl Permits {
    pub(super) const fn new(held: Option<OwnedSemaphorePermit>, shared: Arc<Shared>) -> Self {
        Self { held, shared }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> i32 {
        let count = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        i32::try_from(count).unwrap_or(i32::MAX)
    }

    /// Takes one out, for one delivery.
    pub(crate) fn split_one(&mut self) -> Option<Permit> {
        let held = self.held.as_mut()?.split(1)?;
        self.shared.held_count.fetch_add(1, Ordering::Relaxed);
        Some(Permit {
            held: Some(held),
            shared: Arc::clone(&self.shared),
            limited: None,
        })
    }
}

/// One delivery's part of the overall limit, from its claim until its result is recorded.
#[derive(Debug)]
pub(crate) struct Permit {
    held: Option<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
    /// The endpoint, if it has a limit: then its next delivery may wait for this one to be recorded.
    limited: Option<EndpointId>,
}

impl Permit {
    /// Makes its end known to the claimer, if the claim's endpoint has a limit.
    pub(crate) fn announce_end_of(&mut self, claim: &Claim) {
        self.limited = claim.is_limited.then_some(claim.endpoint_id);
    }

    /// Whether its delivery was claimed under a limit of its endpoint.
    pub(crate) const fn is_limited(&self) -> bool {
        self.limited.is_some()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        drop(self.held.take());
        self.shared.held_count.fetch_sub(1, Ordering::Relaxed);
        if let Some(endpoint_id) = self.limited.take() {
            self.shared.books().ended_at_limited.push(endpoint_id);
            self.shared.wakeup.nudge();
        }
        self.shared.wakeup.room_freed();
    }
}
