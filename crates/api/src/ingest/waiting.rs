//! Callers that wait for their events to be stored.

use std::sync::Arc;

use reprise_core::ids::TenantId;
use reprise_core::store::events::NewEvent;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::StoredEvents;
use super::together::{MAX_TRIES, Outcome, keep_changing};
use crate::error::ApiError;

/// An event whose caller waits.
pub(super) struct Waiting {
    pub(super) tenant_id: TenantId,
    pub(super) event: Arc<NewEvent>,
    pub(super) came_at: Instant,
    /// How often its tenant's endpoints have changed under it.
    pub(super) tries: usize,
    pub(super) answer: oneshot::Sender<Result<StoredEvents, ApiError>>,
}

impl Waiting {
    pub(super) fn wanted(&self) -> (TenantId, &[NewEvent]) {
        (self.tenant_id, std::slice::from_ref(self.event.as_ref()))
    }

    /// Tells the caller what has come of it; gives it back if nothing has.
    pub(super) fn tell(mut self, outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Decided(stored) => self.answer(stored),
            Outcome::NoRoom => return Some(self),
            Outcome::EndpointsChanged if self.tries < MAX_TRIES => {
                self.tries += 1;
                return Some(self);
            }
            Outcome::EndpointsChanged => self.answer(Err(keep_changing())),
        }
        None
    }

    /// Tells the caller, unless that one has gone.
    pub(super) fn answer(self, stored: Result<StoredEvents, ApiError>) {
        let _ = self.answer.send(stored);
    }
}
