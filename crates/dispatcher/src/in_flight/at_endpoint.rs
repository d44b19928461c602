//! What is claimed for one endpoint: how much that may be, and when to claim again.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use super::pace::Pace;
use crate::config::Limits;

/// What is claimed for one endpoint. It is forgotten when that is nothing.
#[derive(Debug)]
pub(super) struct AtEndpoint {
    pub(super) claimed: i32,
    /// As many as it may have in flight. Express deliveries go without.
    pub(super) places: Arc<Semaphore>,
    pace: Pace,
    /// Whether it had as much as it may have when something was claimed for it last, so that more may be waiting.
    is_full: bool,
}

impl AtEndpoint {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            claimed: 0,
            places: Arc::new(Semaphore::new(usize::from(limits.per_endpoint))),
            pace: Pace::new(now),
            is_full: false,
        }
    }

    /// How many may be claimed beyond what may be in flight: at most twice that.
    pub(super) fn ahead(&self, limits: Limits, now: Instant) -> i32 {
        self.pace.ahead(now, 2 * i32::from(limits.per_endpoint))
    }

    pub(super) fn claim_one(&mut self, limits: Limits, now: Instant) {
        self.claimed += 1;
        self.is_full = self.claimed >= i32::from(limits.per_endpoint) + self.ahead(limits, now);
    }

    /// Whether it is time to claim for it again: all that may be in flight is, and half of what may wait is gone.
    pub(super) fn end_one(&mut self, limits: Limits, now: Instant) -> bool {
        self.pace.count(now);
        self.claimed -= 1;
        let wait_at_most = self.ahead(limits, now) / 2;
        let is_low = self.claimed <= (i32::from(limits.per_endpoint) + wait_at_most - 1).max(0);
        is_low && std::mem::replace(&mut self.is_full, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        in_flight: 512,
        per_tenant: 256,
        per_endpoint: 4,
    };

    #[test]
    fn a_slow_endpoint_is_claimed_for_as_soon_as_it_has_a_place() {
        let now = Instant::now();
        let mut at_endpoint = AtEndpoint::new(LIMITS, now);
        for _ in 0..4 {
            at_endpoint.claim_one(LIMITS, now);
        }
        let much_later = now + std::time::Duration::from_secs(1);
        assert!(at_endpoint.end_one(LIMITS, much_later));
        assert!(!at_endpoint.end_one(LIMITS, much_later), "once is enough");
    }

    #[test]
    fn a_fast_endpoint_is_claimed_for_when_half_of_what_waits_is_gone() {
        let now = Instant::now();
        let mut at_endpoint = AtEndpoint::new(LIMITS, now);
        for _ in 0..20 {
            at_endpoint.claim_one(LIMITS, now);
            at_endpoint.end_one(LIMITS, now);
        }
        assert_eq!(
            at_endpoint.ahead(LIMITS, now),
            8,
            "twice what may be in flight"
        );
        for _ in 0..12 {
            at_endpoint.claim_one(LIMITS, now);
        }
        let is_time = std::iter::repeat_with(|| at_endpoint.end_one(LIMITS, now));
        assert_eq!(is_time.take(12).position(|is_time| is_time), Some(4));
    }
}
