//! What can happen.

use std::time::Duration;

use rand::{RngExt as _, rngs::StdRng};
use reprise_faults::repeat::moment;

/// Something that can happen at any time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    DispatcherKilled,
    /// For so long, which may be longer than its peers wait for it.
    DispatcherFrozen(Duration),
    DispatcherStopped,
    ApiKilled,
    PostgresCrashed,
    PostgresFrozen(Duration),
    SessionsEnded,
}

impl Fault {
    /// Any of them, each as likely as the next.
    pub(super) fn any(rng: &mut StdRng) -> Self {
        match rng.random_range(0..7) {
            0 => Self::DispatcherKilled,
            1 => Self::DispatcherFrozen(moment(rng, 1_000, 20_000)),
            2 => Self::DispatcherStopped,
            3 => Self::ApiKilled,
            4 => Self::PostgresCrashed,
            5 => Self::PostgresFrozen(moment(rng, 1_000, 25_000)),
            _ => Self::SessionsEnded,
        }
    }
}
