//! The retry policy: after an attempt, is there another one, and when?
//!
//! Pure: the outcome and the randomness come in, a decision goes out. The first attempt is not a
//! retry; retry 1 is attempt 2.

mod schedule;

use std::time::Duration;

use crate::attempt_outcome::{AttemptOutcome, FailureKind};
use crate::retry_after::MAX_RETRY_AFTER;
pub use schedule::{RetryDelays, RetrySchedule};

/// The most retries of one delivery, and the most delays in a schedule: the contract's bound.
pub const MAX_RETRIES: u32 = 50;

/// The longest delay that a schedule may ask for.
///
/// Longer ones are mostly milliseconds taken for seconds, and nobody remembers such a delivery when
/// it comes; shorter ones would refuse schedules that people use, which go up to some days.
pub const MAX_DELAY: Duration = Duration::from_hours(7 * 24);

/// How often and when an endpoint's deliveries are retried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryPolicy {
    schedule: RetrySchedule,
    max_retries: Option<u32>,
}

impl RetryPolicy {
    /// Makes a policy; without `max_retries`, each delay of the schedule is used once.
    ///
    /// # Errors
    ///
    /// More than [`MAX_RETRIES`], or retries asked for with an empty list of delays: there is no
    /// last delay to repeat, and making one up would surprise either the tenant or the receiver.
    pub fn new(
        schedule: RetrySchedule,
        max_retries: Option<u32>,
    ) -> Result<Self, RetryPolicyError> {
        let retries = max_retries.unwrap_or(0);
        if retries > MAX_RETRIES {
            return Err(RetryPolicyError::TooManyRetries);
        }
        if retries > 0 && schedule.length() == 0 {
            return Err(RetryPolicyError::NoDelays);
        }
        Ok(Self {
            schedule,
            max_retries,
        })
    }

    /// One attempt and no more.
    #[must_use]
    pub const fn never() -> Self {
        Self {
            schedule: RetrySchedule::Default,
            max_retries: Some(0),
        }
    }

    /// The schedule as it was set.
    pub fn schedule(&self) -> &RetrySchedule {
        &self.schedule
    }

    /// The limit as it was set, if it was.
    pub fn explicit_max_retries(&self) -> Option<u32> {
        self.max_retries
    }

    /// The most retries of a delivery, after its first attempt.
    pub fn max_retries(&self) -> u32 {
        self.max_retries.unwrap_or_else(|| self.schedule.length())
    }

    /// The delay before a retry, counted from 1, without jitter.
    ///
    /// Beyond the schedule's length the last delay repeats. It is zero for an empty list of delays,
    /// under which there are no retries.
    pub fn delay(&self, retry_number: u32) -> Duration {
        self.schedule.delay_at(retry_number.saturating_sub(1))
    }

    /// Decides what follows an attempt, counted from 1.
    pub fn decide(
        &self,
        attempt_number: u32,
        outcome: &AttemptOutcome,
        jitter: Jitter,
    ) -> Decision {
        match *outcome {
            AttemptOutcome::Answered { .. } if outcome.is_delivered() => Decision::Delivered,
            AttemptOutcome::Answered { status: 410, .. } => Decision::failed(FailReason::Gone),
            AttemptOutcome::Answered {
                status,
                retry_after,
            } => {
                let hint = retry_after.filter(|_| matches!(status, 429 | 503));
                self.retry(
                    attempt_number,
                    |delay| delay_after_hint(delay, hint.map(|hint| jitter.lengthen(hint))),
                    jitter,
                )
            }
            AttemptOutcome::Failed(FailureKind::PayloadExpired) => {
                Decision::failed(FailReason::PayloadExpired)
            }
            // The receiver is not to blame for a dispatcher's death, so it need not be spared.
            AttemptOutcome::Failed(FailureKind::Lost) => {
                self.retry(attempt_number, |_| Duration::ZERO, jitter)
            }
            AttemptOutcome::Failed(
                FailureKind::AddressRefused
                | FailureKind::Dns
                | FailureKind::Connect
                | FailureKind::Tls
                | FailureKind::Timeout
                | FailureKind::Protocol
                | FailureKind::ConnectionLost,
            ) => self.retry(attempt_number, |delay| delay, jitter),
        }
    }

    /// Retries after what `adjust` makes of the policy's delay, unless the attempts are used up.
    ///
    /// The retry that follows attempt `n` is retry `n`.
    fn retry(
        &self,
        attempt_number: u32,
        adjust: impl FnOnce(Duration) -> Duration,
        jitter: Jitter,
    ) -> Decision {
        if attempt_number > self.max_retries() {
            return Decision::failed(FailReason::AttemptsUsedUp);
        }
        let delay = jitter.lengthen(self.delay(attempt_number));
        Decision::Retry {
            after: adjust(delay),
        }
    }
}

/// A random fraction in [0, 1), drawn by the caller, that spreads retries which fell due together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter(u32);

impl Jitter {
    /// The smallest fraction: delays stay as they are.
    pub const NONE: Self = Self(0);

    /// The largest fraction: delays grow by just under 20 %.
    pub const MAX: Self = Self(u32::MAX);

    /// Makes a fraction of 32 random bits; every value is valid.
    pub fn from_random_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Lengthens a delay by up to 20 %, the contract's figure; it never shortens one.
    pub(crate) fn lengthen(self, delay: Duration) -> Duration {
        // Whole numbers, so that the bound holds exactly. At most 2^94 ns times 2^32 fits.
        let extra_ns = ((delay / 5).as_nanos() * u128::from(self.0)) >> u32::BITS;
        delay.saturating_add(Duration::from_nanos_u128(extra_ns))
    }
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The delivery is `delivered`.
    Delivered,
    /// The delivery is `retrying`.
    Retry {
        /// The wait before the next attempt.
        after: Duration,
    },
    /// The delivery is `failed`.
    Failed {
        /// Why there is no further attempt.
        reason: FailReason,
    },
}

impl Decision {
    fn failed(reason: FailReason) -> Self {
        Self::Failed { reason }
    }
}

/// Why a delivery failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailReason {
    /// The policy has no further retry.
    AttemptsUsedUp,
    /// The receiver answered 410 and wants no more; the caller disables the endpoint.
    Gone,
    /// Retention removed the payload; no attempt could ever succeed.
    PayloadExpired,
}

/// Why a retry policy is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetryPolicyError {
    /// `max_retries` is above [`MAX_RETRIES`].
    #[error("max_retries must be at most {MAX_RETRIES}")]
    TooManyRetries,
    /// The list of delays is longer than [`MAX_RETRIES`].
    #[error("a retry schedule must have at most {MAX_RETRIES} delays")]
    TooManyDelays,
    /// A delay is longer than [`MAX_DELAY`].
    #[error("a retry delay must be at most {} seconds", MAX_DELAY.as_secs())]
    DelayTooLong,
    /// Retries are asked for, but the list of delays is empty.
    #[error("an empty retry schedule means no retries, so max_retries must be 0 or left out")]
    NoDelays,
}

/// Obeys a receiver's hint where it asks for more patience than the policy has anyway. Hints come lengthened by jitter
/// too: a receiver that is overwhelmed names the same moment to everybody.
fn delay_after_hint(delay: Duration, hint: Option<Duration>) -> Duration {
    hint.map_or(delay, |hint| delay.max(hint.min(MAX_RETRY_AFTER)))
}

#[cfg(test)]
mod tests;
