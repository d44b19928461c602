//! What attempts hand to the recorder.

use std::time::{Duration, Instant};

use reprise_core::store::leases::UnusedLease;
use reprise_core::store::recording::FinishedAttempt;

use crate::in_flight::Permit;

/// How a lease ends.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// With an attempt.
    Finished(Box<FinishedAttempt>),
    /// Nothing was sent.
    Unused(UnusedLease),
}

impl Outcome {
    /// How long the attempt took, if anything was sent.
    pub(crate) fn took(&self) -> Option<Duration> {
        match self {
            Self::Finished(finished) if !finished.attempt.request_headers.is_empty() => {
                finished.attempt.duration
            }
            Self::Finished(_) | Self::Unused(_) => None,
        }
    }
}

/// A lease that is to be ended, with the permit that its delivery holds until then.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) permit: Option<Permit>,
    /// When the response had been read, if there was a request.
    pub(crate) at: Instant,
}

impl Ended {
    /// Whether somebody waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        match &self.outcome {
            Outcome::Finished(finished) => finished.is_express,
            Outcome::Unused(_) => false,
        }
    }

    /// Whether it was claimed under a limit of its endpoint, so that the next one may wait for it.
    pub(super) fn is_limited(&self) -> bool {
        self.permit.as_ref().is_some_and(Permit::is_limited)
    }
}
