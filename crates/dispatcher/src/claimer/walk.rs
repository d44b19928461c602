//! Where the walk over tenants and endpoints stands, and when it goes on.

use std::time::{Duration, Instant};

use reprise_core::ids::TenantId;
use reprise_core::store::delivery_queue::WalkPosition;
use uuid::Uuid;

use super::known::Remembered;

/// How long a walk waits while there is something to claim without it. Longer, and an endpoint that is not known waits
/// longer for its first delivery; shorter, and walking costs PostgreSQL more than claiming.
const PAUSE: Duration = Duration::from_millis(5);
/// After a step that has found nothing new, a walk waits so many times as long as that took, if there is something to
/// claim without it. Less, and walking past many endpoints that may not have any more, since their tenants' receivers
/// hang, keeps PostgreSQL busy; more, and what has lost its hint waits.
const VAIN_PAUSE: u32 = 9;
/// The longest such wait. Longer, and a step that was stalled keeps the next one from what only the walk finds;
/// shorter, and a slow PostgreSQL is walked over all the time.
const MAX_VAIN_PAUSE: Duration = Duration::from_millis(500);
/// How often to walk without a hint while the claimer is busy: a hint may be lost, and what others give back has none.
const UNHINTED: Duration = Duration::from_millis(100);

/// Where the walk stands.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) position: WalkPosition,
    /// Whether all of this round was walked since there may be something to find.
    is_whole_round: bool,
    /// Whether there may be something to find.
    is_wanted: bool,
    walked_at: Option<Instant>,
    /// When it may go on while there is something to claim without it.
    not_before: Option<Instant>,
}

/// What came of a step of the walk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) remembered: Remembered,
    pub(super) took: Duration,
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
            is_whole_round: false,
            is_wanted: true,
            walked_at: None,
            not_before: None,
        }
    }

    /// There may be something to find, anywhere: all the way round has to be walked.
    pub(super) fn want(&mut self) {
        self.is_wanted = true;
        self.is_whole_round = self.position.is_start();
    }

    /// Whether it is time to go on: at once where there is nothing to claim, else after a pause.
    pub(super) fn is_due(&mut self, has_candidates: bool, now: Instant) -> bool {
        let is_long_ago = |at: Instant| now.saturating_duration_since(at) >= UNHINTED;
        if !self.is_wanted && self.walked_at.is_none_or(is_long_ago) {
            self.want();
        }
        self.next_after(now)
            .is_some_and(|wait| !has_candidates || wait.is_zero())
    }

    /// How long to wait before it goes on, if there is more to walk.
    pub(super) fn next_after(&self, now: Instant) -> Option<Duration> {
        // After a rest at once: else what is known, and may hang, would be claimed from before what is found.
        let at = self.not_before.max(self.walked_at.map(|at| at + PAUSE));
        let wait = at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        self.is_wanted.then_some(wait)
    }

    /// Goes on. A walk that has gone all the way round is over, unless there was no room to remember what it has found.
    pub(super) fn advance(&mut self, next: WalkPosition, step: Step, now: Instant) {
        self.walked_at = Some(now);
        self.position = next;
        let vain_pause = (step.took * VAIN_PAUSE).min(MAX_VAIN_PAUSE);
        self.not_before = (!step.remembered.is_any_new).then_some(now + vain_pause);
        self.is_whole_round &= step.remembered.are_all;
        let is_over = self.position.is_start() && self.is_whole_round;
        self.is_wanted = !is_over;
        self.is_whole_round |= self.position.is_start();
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

    const STEP: Step = Step {
        remembered: Remembered {
            are_all: true,
            is_any_new: true,
        },
        took: Duration::from_millis(20),
    };

    /// With nothing that was new.
    fn vain(are_all: bool) -> Step {
        let remembered = Remembered {
            are_all,
            is_any_new: false,
        };
        Step { remembered, ..STEP }
    }

    fn is_wanted(walk: &Walk) -> bool {
        walk.next_after(Instant::now()).is_some()
    }

    fn advance(walk: &mut Walk, next: WalkPosition) -> bool {
        walk.advance(next, STEP, Instant::now());
        is_wanted(walk)
    }

    #[test]
    fn walk_from_the_middle_goes_round_once_before_it_rests() {
        let mut walk = Walk::at_random();
        assert!(advance(&mut walk, at(None)));
        assert!(advance(&mut walk, at(Some(TenantId::new()))));
        assert!(!advance(&mut walk, at(None)));
    }

    #[test]
    fn walk_that_rests_at_its_start_goes_round_once() {
        let mut walk = Walk::at_random();
        advance(&mut walk, at(None));
        advance(&mut walk, at(None));
        walk.want();
        assert!(!advance(&mut walk, at(None)));
    }

    #[test]
    fn walk_goes_on_to_where_it_was_when_something_came_behind_it() {
        let mut walk = Walk::at_random();
        advance(&mut walk, at(None));
        advance(&mut walk, at(Some(TenantId::new())));
        walk.want();
        assert!(advance(&mut walk, at(None)));
        assert!(!advance(&mut walk, at(None)));
    }

    #[test]
    fn walk_goes_round_again_for_what_there_was_no_room_to_remember() {
        let mut walk = Walk::at_random();
        advance(&mut walk, at(None));
        walk.advance(at(None), vain(false), Instant::now());
        assert!(is_wanted(&walk));
        assert!(!advance(&mut walk, at(None)));
    }

    #[test]
    fn walk_over_one_tenants_many_endpoints_ends_too() {
        let mut walk = Walk::at_random();
        let mut halfway = at(None);
        halfway
            .endpoint_by_tenant
            .insert(TenantId::new(), EndpointId::new());
        advance(&mut walk, at(None));
        assert!(advance(&mut walk, halfway));
        assert!(!advance(&mut walk, at(None)));
    }

    #[test]
    fn walk_waits_for_its_pause_only_where_there_is_something_to_claim() {
        let now = Instant::now();
        let mut walk = Walk::at_random();
        walk.advance(at(None), STEP, now);
        assert!(!walk.is_due(true, now));
        assert!(walk.is_due(false, now));
        assert!(walk.is_due(true, now + PAUSE));
    }

    #[test]
    fn walk_is_wanted_again_without_a_hint_after_a_while() {
        let now = Instant::now();
        let mut walk = Walk::at_random();
        walk.advance(at(None), STEP, now);
        walk.advance(at(None), STEP, now);
        assert!(!walk.is_due(false, now));
        assert!(walk.is_due(false, now + UNHINTED));
    }

    #[test]
    fn walk_that_finds_nothing_new_takes_a_tenth_of_the_time_where_there_is_something_to_claim() {
        let now = Instant::now();
        let mut walk = Walk::at_random();
        walk.advance(at(None), vain(false), now);
        let pause = STEP.took * VAIN_PAUSE;
        assert!(!walk.is_due(true, now + pause - PAUSE));
        assert!(walk.is_due(true, now + pause));
        assert!(walk.is_due(false, now), "there is nothing else to do");
        walk.advance(at(Some(TenantId::new())), STEP, now);
        assert!(walk.is_due(true, now + PAUSE), "it has found something");
    }

    #[test]
    fn walk_that_waits_for_longer_than_hints_may_be_missing_ends_its_round_all_the_same() {
        let now = Instant::now();
        let mut walk = Walk::at_random();
        walk.advance(at(None), vain(true), now);
        walk.advance(at(Some(TenantId::new())), vain(true), now);
        let later = now + 2 * UNHINTED;
        assert!(walk.is_due(true, later));
        walk.advance(at(None), vain(true), later);
        assert_eq!(walk.next_after(later), None);
    }

    #[test]
    fn walk_is_delayed_by_a_step_that_was_stalled_for_a_moment_only_and_once() {
        let now = Instant::now();
        let mut walk = Walk::at_random();
        let stalled = Step {
            took: Duration::from_mins(1),
            ..vain(true)
        };
        walk.advance(at(None), stalled, now);
        assert!(walk.is_due(true, now + MAX_VAIN_PAUSE));
        walk.advance(at(None), stalled, now);
        let later = now + MAX_VAIN_PAUSE;
        walk.want();
        assert_eq!(
            walk.next_after(later),
            Some(Duration::ZERO),
            "it has rested"
        );
    }
}
