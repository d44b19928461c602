//! When the retries of an endpoint come.

use std::time::Duration;

use super::{MAX_DELAY, MAX_RETRIES, RetryPolicyError};

/// The contract's schedule: quick at first, for a receiver that restarts; then over a day, for one
/// that somebody has to mend.
const DEFAULT_DELAYS: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(10),
];

/// The number of retries of [`RetrySchedule::Exponential`]: the contract's.
const EXPONENTIAL_RETRIES: u32 = 25;

/// When the retries of an endpoint come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RetrySchedule {
    /// 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h.
    #[default]
    Default,
    /// 25 delays of `(n − 1)⁴ + 15` seconds for retry `n`: 15 s at first, 3.8 days at last.
    ///
    /// They sum to 1,763,395 s, which is 20.4 days, and 22.4 days with jitter on average: the
    /// contract's "about three weeks".
    Exponential,
    /// Delays of the tenant's choice.
    Delays(RetryDelays),
}

impl RetrySchedule {
    /// Its delays in their order, without jitter.
    pub fn delays(&self) -> Vec<Duration> {
        (0..self.length())
            .map(|index| self.delay_at(index))
            .collect()
    }

    /// The number of delays in the schedule.
    pub(super) fn length(&self) -> u32 {
        match self {
            Self::Default => saturating_count(DEFAULT_DELAYS.len()),
            Self::Exponential => EXPONENTIAL_RETRIES,
            Self::Delays(delays) => saturating_count(delays.0.len()),
        }
    }

    /// The delay at a place counted from 0; past the end, the last one.
    pub(super) fn delay_at(&self, index: u32) -> Duration {
        let index = index.min(self.length().saturating_sub(1));
        match self {
            Self::Default => delay_in(&DEFAULT_DELAYS, index),
            Self::Exponential => Duration::from_secs(u64::from(index).pow(4) + 15),
            Self::Delays(delays) => delay_in(&delays.0, index),
        }
    }
}

/// A tenant's own list of delays: at most [`MAX_RETRIES`], each at most [`MAX_DELAY`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryDelays(Vec<Duration>);

impl RetryDelays {
    /// Takes a list of delays; an empty one means no retries.
    ///
    /// # Errors
    ///
    /// Too many delays, or one that is too long.
    pub fn new(delays: Vec<Duration>) -> Result<Self, RetryPolicyError> {
        if saturating_count(delays.len()) > MAX_RETRIES {
            return Err(RetryPolicyError::TooManyDelays);
        }
        if delays.iter().any(|&delay| delay > MAX_DELAY) {
            return Err(RetryPolicyError::DelayTooLong);
        }
        Ok(Self(delays))
    }

    /// The delays in their order.
    pub fn as_slice(&self) -> &[Duration] {
        &self.0
    }
}

/// The delay at a place that there is; of a schedule without delays nobody asks for one.
fn delay_in(delays: &[Duration], index: u32) -> Duration {
    usize::try_from(index)
        .ok()
        .and_then(|index| delays.get(index))
        .copied()
        .unwrap_or_default()
}

fn saturating_count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
