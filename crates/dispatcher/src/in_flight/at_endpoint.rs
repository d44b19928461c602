//! What is claimed for one endpoint: how much that may be, and when to claim again.

use std::sync::Arc;
use std::time::Instant;

use reprise_core::fair_share::QUICK;
use reprise_core::ids::TenantId;
use tokio::sync::Semaphore;

use super::pace::Pace;
use crate::config::Limits;

/// How many times as much as may be in flight may be claimed ahead. Less, and a fast endpoint waits for claims, which
/// are small; more, and a dispatcher that dies takes more with it that it had not sent yet.
const AHEAD: i32 = 4;

/// What is claimed for one endpoint.
#[derive(Debug)]
pub(super) struct AtEndpoint {
    pub(super) tenant_id: TenantId,
    pub(super) claimed: i32,
    /// Since when it has something and has not answered.
    waiting_from: Instant,
    /// As many as it may have in flight. Express deliveries go without.
    pub(super) places: Arc<Semaphore>,
    pace: Pace,
    /// Whether the claimer is to be asked to look when it is time: something was claimed since it last was, or it has
    /// looked too early.
    is_look_due: bool,
}

impl AtEndpoint {
    pub(super) fn new(tenant_id: TenantId, limits: Limits, now: Instant) -> Self {
        Self {
            tenant_id,
            claimed: 0,
            waiting_from: now,
            places: Arc::new(Semaphore::new(usize::from(limits.per_endpoint))),
            pace: Pace::new(now),
            is_look_due: false,
        }
    }

    /// How many may be claimed beyond what may be in flight. While more than a quarter of that is there none may: many
    /// small claims cost more than a few large ones. The claimer is then asked again when it is time to.
    pub(super) fn ahead(&mut self, limits: Limits, now: Instant) -> i32 {
        let ahead = self.pace.ahead(now, AHEAD * i32::from(limits.per_endpoint));
        if self.is_low(limits, ahead) {
            return ahead;
        }
        self.is_look_due = true;
        0
    }

    /// Whether there is nothing to be known of it any more. One that has answered all that it got is remembered for its
    /// pace, else it would never get more at once than it may have in flight.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.claimed == 0 && self.pace.is_over(now)
    }

    fn is_low(&self, limits: Limits, ahead: i32) -> bool {
        self.claimed < (i32::from(limits.per_endpoint) + ahead / 4).max(1)
    }

    /// Whether it has something in flight and has not answered for as long as a quick attempt takes.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        self.claimed > 0 && now.saturating_duration_since(self.waiting_from) >= QUICK
    }

    pub(super) fn claim_one(&mut self, now: Instant) {
        if self.claimed == 0 {
            self.waiting_from = now;
        }
        self.claimed += 1;
        self.is_look_due = true;
    }

    /// Whether it is time to claim for it again: all that may be in flight is, and three quarters of what may
    /// wait are gone.
    pub(super) fn end_one(&mut self, limits: Limits, was_sent: bool, now: Instant) -> bool {
        self.pace.count(now);
        if was_sent {
            self.waiting_from = now;
        }
        self.claimed -= 1;
        let ahead = self.pace.ahead(now, AHEAD * i32::from(limits.per_endpoint));
        self.is_low(limits, ahead) && std::mem::replace(&mut self.is_look_due, false)
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
        let mut at_endpoint = AtEndpoint::new(TenantId::new(), LIMITS, now);
        for _ in 0..4 {
            at_endpoint.claim_one(now);
        }
        let much_later = now + std::time::Duration::from_secs(1);
        assert!(at_endpoint.end_one(LIMITS, true, much_later));
        assert!(
            !at_endpoint.end_one(LIMITS, true, much_later),
            "once is enough"
        );
    }

    #[test]
    fn a_look_that_comes_too_early_is_not_the_last_one() {
        let now = Instant::now();
        let mut at_endpoint = AtEndpoint::new(TenantId::new(), LIMITS, now);
        for _ in 0..20 {
            at_endpoint.claim_one(now);
            at_endpoint.end_one(LIMITS, true, now);
        }
        for _ in 0..20 {
            at_endpoint.claim_one(now);
        }
        while !at_endpoint.end_one(LIMITS, true, now) {}
        // By the time that the claimer looks it has become slow, and has enough for that.
        let later = now + std::time::Duration::from_secs(1);
        assert_eq!(at_endpoint.ahead(LIMITS, later), 0);
        let asked = (0..at_endpoint.claimed).any(|_| at_endpoint.end_one(LIMITS, true, later));
        assert!(asked, "what is left ends without anybody looking");
    }

    #[test]
    fn an_endpoint_is_stalled_until_something_that_was_sent_has_ended() {
        let now = Instant::now();
        let mut at_endpoint = AtEndpoint::new(TenantId::new(), LIMITS, now);
        let later = now + QUICK;
        assert!(!at_endpoint.is_stalled(later), "it has nothing");
        for _ in 0..3 {
            at_endpoint.claim_one(now);
        }
        assert!(at_endpoint.is_stalled(later));
        at_endpoint.end_one(LIMITS, false, later);
        assert!(at_endpoint.is_stalled(later), "it was given back");
        at_endpoint.end_one(LIMITS, true, later);
        assert!(!at_endpoint.is_stalled(later));
    }

    #[test]
    fn a_fast_endpoint_is_claimed_for_when_most_of_what_waits_is_gone() {
        let now = Instant::now();
        let mut at_endpoint = AtEndpoint::new(TenantId::new(), LIMITS, now);
        for _ in 0..20 {
            at_endpoint.claim_one(now);
            at_endpoint.end_one(LIMITS, true, now);
        }
        assert_eq!(
            at_endpoint.ahead(LIMITS, now),
            16,
            "four times what may be in flight"
        );
        for _ in 0..20 {
            at_endpoint.claim_one(now);
        }
        assert_eq!(at_endpoint.ahead(LIMITS, now), 0, "it has enough");
        let is_time = std::iter::repeat_with(|| at_endpoint.end_one(LIMITS, true, now));
        assert_eq!(is_time.take(20).position(|is_time| is_time), Some(12));
    }
}
