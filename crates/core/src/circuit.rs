//! Circuits: when a receiver counts as dead, and how long it is left alone then.
//!
//! Retries spread one delivery's attempts over a day, but a dead receiver with many deliveries would still be tried
//! many times a second, and each try holds a place until its timeout. So what is sent to it slows down for all of its
//! deliveries together. Nothing is lost by that: a delivery that waits for a circuit uses up no attempt.
//!
//! Pure: instants and randomness come in.

use std::time::{Duration, Instant};

use crate::attempt::Attempt;
use crate::attempt_outcome::{ErrorKind, FailureKind};
use crate::retry::Jitter;

/// What an attempt says of its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It answered. A refusal is an answer too, and so are a request to come later and an error that it reports: a few
    /// events that an application can't digest must not hold back all the others.
    Alive,
    /// It can't be reached: nobody answers, or a gateway does that finds nobody behind it (RFC 9110 section 15.6.3 to
    /// 15.6.5).
    Dead,
    /// Nothing: the attempt did not get as far, for a reason that is not the receiver's.
    None,
}

impl Sign {
    /// What an attempt says.
    #[must_use]
    pub fn of(attempt: &Attempt) -> Self {
        match attempt.error.as_ref().map(|error| error.kind) {
            None => Self::Alive,
            Some(ErrorKind::HttpStatus) => match attempt.answered_status() {
                Some(502..=504) => Self::Dead,
                Some(_) | None => Self::Alive,
            },
            Some(ErrorKind::Failure(kind)) => match kind {
                FailureKind::Dns
                | FailureKind::Connect
                | FailureKind::Tls
                | FailureKind::Timeout
                | FailureKind::Protocol
                | FailureKind::ConnectionLost => Self::Dead,
                FailureKind::AddressRefused | FailureKind::PayloadExpired | FailureKind::Lost => {
                    Self::None
                }
            },
        }
    }
}

/// When a circuit opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitRules {
    /// Failures in a row, within twice [`failing_for`](Self::failing_for), at which it opens; 0: never. Fewer, and the
    /// ordinary retries of a few deliveries could open it; more, and a dead receiver is tried for longer.
    pub failures: u32,
    /// How long a receiver has been failing before its circuit opens, without a success. Shorter, and a restart opens
    /// it.
    pub failing_for: Duration,
    /// How long it is open at first.
    pub first_pause: Duration,
    /// How long it is open at most, but for the jitter.
    pub max_pause: Duration,
}

/// A failure counts once more for each so many seconds that it took: a receiver that hangs is tried less often, and
/// holds places.
const SECONDS_OF_HANGING: u64 = 10;
/// Failures in a row at which a circuit that is closing opens again.
pub const FAILURES_WHILE_CLOSING: u32 = 5;

impl CircuitRules {
    /// Whether a receiver with these failures is dead.
    #[must_use]
    pub fn is_dead(&self, run: &FailureRun, now: Instant) -> bool {
        self.failures > 0
            && run.in_window >= self.failures
            && now.saturating_duration_since(run.began_at) >= self.failing_for
    }

    /// How long the circuit is open when it opens for the `opening`th time, counted from 1, since it was closed. It
    /// doubles each time; up to 20 % of jitter keep the circuits of what died together from trying together.
    #[must_use]
    pub fn pause(&self, opening: u32, jitter: Jitter) -> Duration {
        let doublings = opening.saturating_sub(1).min(31);
        let pause = self.first_pause.saturating_mul(1 << doublings);
        jitter.lengthen(pause.min(self.max_pause))
    }
}

/// Failures at one endpoint with nothing else between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureRun {
    began_at: Instant,
    window_from: Instant,
    in_window: u32,
}

impl FailureRun {
    /// A run that begins now, with no failure yet.
    #[must_use]
    pub const fn begin(now: Instant) -> Self {
        Self {
            began_at: now,
            window_from: now,
            in_window: 0,
        }
    }

    /// Counts a failure that took so long. Those of a window of time count together, so that the retries of a few
    /// deliveries, which take days, never add up.
    pub fn count(&mut self, took: Duration, rules: &CircuitRules, now: Instant) {
        if now.saturating_duration_since(self.window_from) > 2 * rules.failing_for {
            self.window_from = now;
            self.in_window = 0;
        }
        let weight = 1 + took.as_secs() / SECONDS_OF_HANGING;
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        self.in_window = self.in_window.saturating_add(weight);
    }
}

#[cfg(test)]
mod tests;
