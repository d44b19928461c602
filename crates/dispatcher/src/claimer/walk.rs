//! Where the walk over tenants and endpoints stands, and when it goes on.

use std::time::{Duration, Instant};

use reprise_core::ids::TenantId;
use reprise_core::store::delivery_queue::WalkPosition;
use uuid::Uuid;

/// Between walks while there is something to claim without one. Longer, and an endpoint that was quiet waits longer for its
/// first delivery; shorter, and walking costs PostgreSQL more than claiming.
pub(super) const PAUSE: Duration = Duration::from_millis(5);
/// How often to walk without a hint while the claimer is busy: a hint may be lost, and what others give back has none.
const UNHINTED: Duration = Duration::from_millis(100);

/// Where the walk stands.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) position: WalkPosition,
    /// Whether anything was found since the walk was at its start.
    has_found: bool,
    /// Whether there may be something to find.
    is_wanted: bool,
    walked_at: Option<Instant>,
}

impl Walk {
    /// Begins at a random place, so that replicas do not walk in step.
    pub(super) fn at_random() -> Self {
        let position = WalkPosition {
            tenant_id: Some(TenantId::from_uuid(Uuid::from_u128(rand::random()))),
            ..WalkPosition::default()
        };
        Self {
            position,
            has_found: true,
            is_wanted: true,
            walked_at: None,
        }
    }

    /// There may be something to find: all the way round has to be walked.
    pub(super) fn want(&mut self) {
        self.is_wanted = true;
        self.has_found = true;
    }

    /// Whether it is time to go on; where there is something to claim anyway, only now and then.
    pub(super) fn is_due(&mut self, has_candidates: bool, now: Instant) -> bool {
        let is_past = |pause| {
            self.walked_at
                .is_none_or(|at| now.saturating_duration_since(at) >= pause)
        };
        if is_past(UNHINTED) && !self.is_wanted {
            self.want();
        }
        let is_past = self
            .walked_at
            .is_none_or(|at| now.saturating_duration_since(at) >= PAUSE);
        self.is_wanted && (is_past || !has_candidates)
    }

    /// Whether there is more to walk.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Goes on. A walk that has come round to its start and found nothing on the whole way is over.
    pub(super) fn advance(&mut self, next: WalkPosition, found_count: usize, now: Instant) {
        self.walked_at = Some(now);
        self.has_found |= found_count > 0;
        self.position = next;
        if self.position.is_start() {
            self.is_wanted = std::mem::replace(&mut self.has_found, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use reprise_core::ids::EndpointId;

    use super::*;

    fn at(tenant_id: Option<TenantId>) -> WalkPosition {
        WalkPosition {
            tenant_id,
            ..WalkPosition::default()
        }
    }

    fn advance(walk: &mut Walk, next: WalkPosition, found_count: usize) -> bool {
        walk.advance(next, found_count, Instant::now());
        walk.is_wanted()
    }

    #[test]
    fn walk_from_the_middle_goes_round_once_before_it_rests() {
        let mut walk = Walk::at_random();
        assert!(advance(&mut walk, at(None), 0));
        assert!(!advance(&mut walk, at(None), 0));
    }

    #[test]
    fn walk_rests_only_after_a_round_without_a_find() {
        let mut walk = Walk::at_random();
        let middle = at(Some(TenantId::new()));
        advance(&mut walk, at(None), 0);
        assert!(advance(&mut walk, middle.clone(), 1));
        assert!(advance(&mut walk, at(None), 0));
        assert!(advance(&mut walk, middle, 0));
        assert!(!advance(&mut walk, at(None), 0));
    }

    #[test]
    fn walk_over_one_tenants_many_endpoints_ends_too() {
        let mut walk = Walk::at_random();
        let mut halfway = at(None);
        halfway
            .endpoint_by_tenant
            .insert(TenantId::new(), EndpointId::new());
        advance(&mut walk, at(None), 0);
        assert!(advance(&mut walk, halfway, 0));
        assert!(!advance(&mut walk, at(None), 0));
    }

    #[test]
    fn walk_waits_for_its_pause_only_where_there_is_something_to_claim() {
        let (mut walk, now) = (Walk::at_random(), Instant::now());
        assert!(walk.is_due(true, now), "it has not walked yet");
        walk.advance(at(None), 0, now);
        walk.want();
        assert!(!walk.is_due(true, now));
        assert!(walk.is_due(false, now));
        assert!(walk.is_due(true, now + PAUSE));
    }

    #[test]
    fn walk_is_wanted_again_without_a_hint_after_a_while() {
        let (mut walk, now) = (Walk::at_random(), Instant::now());
        walk.advance(at(None), 0, now);
        walk.advance(at(None), 0, now);
        assert!(!walk.is_due(false, now));
        assert!(walk.is_due(false, now + UNHINTED));
    }
}
