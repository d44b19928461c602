//! Arithmetic for figures that people read.

use std::time::Duration;

/// A count as a floating point number: exact up to 2^53, and nothing here counts that far.
#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people, with three digits"
)]
pub fn float(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}

/// So many in that time, per second.
pub fn rate(count: impl TryInto<u64>, time: Duration) -> f64 {
    float(count) / time.as_secs_f64().max(f64::EPSILON)
}

/// Milliseconds, with their fraction.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The median and what few exceed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Percentiles {
    /// Half take longer.
    pub p50: Duration,
    /// One in a hundred takes longer.
    pub p99: Duration,
    /// One in a thousand takes longer.
    pub p999: Duration,
}

impl Percentiles {
    /// Of some times in any order; `None` of none.
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        let at = |share_per_mille: usize| times[(times.len() * share_per_mille / 1_000).min(last)];
        Some(Self {
            p50: at(500),
            p99: at(990),
            p999: at(999),
        })
    }
}

/// A rate without its fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a conversion from f64 saturates, and rates are small and positive"
)]
pub fn whole_rate(rate: f64) -> u32 {
    rate as u32
}
