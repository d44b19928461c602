//! One delivery's part of what may be in flight.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_core::ids::{EndpointId, TenantId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Shared, caps, express_per_tenant, take_one};

/// One delivery's part of its endpoint's and tenant's limits, from its claim until its response has been read.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(super) shared: Arc<Shared>,
    pub(super) endpoint_id: EndpointId,
    pub(super) tenant_id: TenantId,
    pub(super) payload_bytes: i64,
    pub(super) is_express: bool,
    pub(super) places: Arc<Semaphore>,
    /// How long the attempt took, if it was made.
    pub(super) took: Option<Duration>,
}

/// A place at an endpoint: the right to have one more in flight there.
#[derive(Debug)]
pub(crate) struct Place {
    _held: Option<OwnedSemaphorePermit>,
}

impl Slot {
    /// The attempt has taken so long.
    pub(crate) const fn note(&mut self, took: Option<Duration>) {
        self.took = took;
    }

    /// Waits for a place at the endpoint; what is express needs none.
    ///
    /// Cancel safety: dropping the future gives up the turn.
    pub(crate) async fn place(&self) -> Place {
        let held = if self.is_express {
            None
        } else {
            // The semaphore is never closed.
            Arc::clone(&self.places).acquire_owned().await.ok()
        };
        Place { _held: held }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let limits = self.shared.limits;
        let now = Instant::now();
        let mut books = self.shared.books();
        let mut may_claim = false;
        let was_slow = books.is_slow(self.endpoint_id, now);
        if let Some(at_endpoint) = books.endpoints.get_mut(&self.endpoint_id) {
            may_claim = at_endpoint.end_one(limits, self.took.is_some(), now);
        }
        if let Some(took) = self.took {
            books.quick.note(self.endpoint_id, took);
        }
        let of_tenant = take_one(&mut books.by_tenant, self.tenant_id);
        // Quick ones that end leave nothing that slow ones are held back for.
        if was_slow || of_tenant >= caps(limits).per_tenant {
            may_claim |= books.held_back.remove(&self.tenant_id);
            may_claim |= books.limited_held_back.remove(&self.tenant_id);
            books.eased.insert(self.tenant_id);
        }
        books.payload_bytes -= self.payload_bytes;
        let of_express = if self.is_express {
            take_one(&mut books.express_by_tenant, self.tenant_id)
        } else {
            0
        };
        drop(books);
        // Only where something was held back may more be waiting that the last claim had to pass over.
        if of_express >= express_per_tenant(limits.in_flight) {
            self.shared.wakeup.hint_express();
        }
        if may_claim {
            self.shared.wakeup.nudge();
        }
        self.shared.wakeup.room_freed();
    }
}
