//! A bound on interim responses (1xx).
//!
//! Any number of them may come before the response that counts (RFC 9110 section 15.2), and hyper reads on for as long
//! as they do. A receiver could make the dispatcher parse at the speed of the line until its deadline, with all the
//! requests that it may have in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::Request;
use thiserror::Error;
use tokio::sync::Notify;

/// Interim responses to one request at most. Receivers have a reason for one or two: 100 and 103.
pub(super) const MAX_INTERIM_RESPONSES: usize = 16;

/// More interim responses came than are read.
#[derive(Debug, Error)]
#[error("more than {MAX_INTERIM_RESPONSES} interim responses")]
pub(super) struct TooManyInterimResponses;

/// Counts the interim responses to one request.
#[derive(Debug, Default)]
pub(super) struct InterimResponses {
    count: AtomicUsize,
    too_many: Notify,
}

impl InterimResponses {
    /// Counts those to this request.
    pub(super) fn bounded<B>(request: &mut Request<B>) -> Arc<Self> {
        let counted = Arc::<Self>::default();
        let counting = Arc::clone(&counted);
        hyper::ext::on_informational(request, move |_| counting.count_one());
        counted
    }

    fn count_one(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) >= MAX_INTERIM_RESPONSES {
            self.too_many.notify_one();
        }
    }

    /// Waits until there are too many; for ever, if there never are.
    ///
    /// Cancel safety: nothing is lost by dropping the future.
    pub(super) async fn too_many(&self) -> TooManyInterimResponses {
        self.too_many.notified().await;
        TooManyInterimResponses
    }
}
