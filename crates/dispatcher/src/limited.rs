//! Endpoints with a limit that have something to be sent, as far as this dispatcher knows, and when to ask for each
//! again.
//!
//! The limits themselves are kept in PostgreSQL, over all dispatchers. This only spares it questions whose answer is
//! known.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reprise_core::ids::EndpointId;
use reprise_core::store::delivery_queue::{LimitState, LimitedEndpoint};

/// Endpoints remembered at most, some 50 bytes each; what is not remembered is met again by the walk.
const MAX_REMEMBERED: usize = 10_000;
/// How long to leave an endpoint alone that another dispatcher is claiming for: as long as that takes.
const HELD_PAUSE: Duration = Duration::from_millis(20);

/// The endpoints.
#[derive(Debug)]
pub(crate) struct Limited {
    waiting: HashMap<LimitedEndpoint, Waiting>,
    /// How long to wait for an attempt that another dispatcher makes to end.
    poll_interval: Duration,
}

/// When to ask for an endpoint again.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    not_before: Instant,
    why: Why,
}

/// Why not at once, and so what else than time is a reason to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Nothing is.
    Time,
    /// As much is in flight as may be: an attempt that ends here is.
    Full,
    /// The circuit is open: an attempt that ends here is, and something express.
    Circuit,
}

impl Limited {
    pub(crate) fn new(poll_interval: Duration) -> Self {
        Self {
            waiting: HashMap::new(),
            poll_interval,
        }
    }

    /// Remembers endpoints that were met with something to be sent; whether any of them was not known.
    pub(crate) fn meet(&mut self, met: &[LimitedEndpoint], now: Instant) -> bool {
        let before = self.waiting.len();
        for endpoint in met {
            if self.waiting.len() < MAX_REMEMBERED {
                self.waiting.entry(*endpoint).or_insert(Waiting {
                    not_before: now,
                    why: Why::Time,
                });
            }
        }
        self.waiting.len() > before
    }

    /// Remembers endpoints that were met with something express, which no circuit holds back, whatever else it lets
    /// through.
    pub(crate) fn meet_express(&mut self, met: &[LimitedEndpoint], now: Instant) {
        self.meet(met, now);
        for endpoint in met {
            if let Some(waiting) = self.waiting.get_mut(endpoint)
                && waiting.why != Why::Time
            {
                waiting.not_before = now;
            }
        }
    }

    /// Whether an endpoint is remembered.
    pub(crate) fn knows(&self, endpoint: &LimitedEndpoint) -> bool {
        self.waiting.contains_key(endpoint)
    }

    /// Attempts at these endpoints have ended here.
    pub(crate) fn free(&mut self, ended: &[EndpointId], now: Instant) {
        for ((_, endpoint_id), waiting) in &mut self.waiting {
            if waiting.why != Why::Time && ended.contains(endpoint_id) {
                waiting.not_before = now;
            }
        }
    }

    /// The endpoints to ask for now, those first that have been due for longest.
    pub(crate) fn due(&self, now: Instant) -> Vec<LimitedEndpoint> {
        let due = self.waiting.iter();
        let due = due.filter(|(_, waiting)| waiting.not_before <= now);
        let mut due: Vec<_> = due
            .map(|(endpoint, waiting)| (waiting.not_before, *endpoint))
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, endpoint)| endpoint).collect()
    }

    /// Notes what came of the endpoints that were asked for. `is_cut` says that there may be more of any of them, since
    /// there was no room for more here.
    pub(crate) fn note(
        &mut self,
        asked: impl Iterator<Item = LimitedEndpoint>,
        states: &[(EndpointId, LimitState)],
        is_cut: bool,
        now: Instant,
    ) {
        for endpoint in asked {
            let state = states.iter().find(|(id, _)| *id == endpoint.1);
            let (pause, why) = match state {
                None => (HELD_PAUSE, Why::Time),
                Some((_, LimitState::NextSlotAfter(wait))) => (*wait, Why::Time),
                Some((_, LimitState::CircuitOpen(wait))) => (*wait, Why::Circuit),
                Some((_, LimitState::Full)) => (self.poll_interval, Why::Full),
                Some((_, LimitState::Open)) if is_cut => (Duration::ZERO, Why::Time),
                Some((_, LimitState::Open)) => {
                    self.waiting.remove(&endpoint);
                    continue;
                }
            };
            let waiting = Waiting {
                not_before: now + pause,
                why,
            };
            self.waiting.insert(endpoint, waiting);
        }
    }

    /// How long until one of them may be asked for that may not be now.
    pub(crate) fn next_after(&self, now: Instant) -> Option<Duration> {
        self.waiting
            .values()
            .filter_map(|waiting| waiting.not_before.checked_duration_since(now))
            .filter(|wait| !wait.is_zero())
            .min()
    }
}

#[cfg(test)]
mod tests {
    use reprise_core::ids::TenantId;

    use super::*;

    const POLL: Duration = Duration::from_secs(1);

    fn known(now: Instant) -> (Limited, LimitedEndpoint) {
        let mut limited = Limited::new(POLL);
        let endpoint = (TenantId::new(), EndpointId::new());
        assert!(limited.meet(&[endpoint], now));
        assert!(!limited.meet(&[endpoint], now), "it is known already");
        assert_eq!(limited.due(now), [endpoint]);
        (limited, endpoint)
    }

    fn note(limited: &mut Limited, endpoint: LimitedEndpoint, state: LimitState, now: Instant) {
        limited.note([endpoint].into_iter(), &[(endpoint.1, state)], false, now);
    }

    #[test]
    fn an_endpoint_is_asked_for_when_its_next_slot_comes() {
        let now = Instant::now();
        let (mut limited, endpoint) = known(now);
        let wait = Duration::from_millis(300);
        note(&mut limited, endpoint, LimitState::NextSlotAfter(wait), now);
        limited.free(&[endpoint.1], now);
        limited.meet(&[endpoint], now);
        assert!(
            limited.due(now).is_empty(),
            "nothing but time brings a slot"
        );
        assert_eq!(limited.next_after(now), Some(wait));
        assert_eq!(limited.due(now + wait), [endpoint]);
    }

    #[test]
    fn a_full_endpoint_is_asked_for_when_an_attempt_ends_here_or_after_the_poll_interval() {
        let now = Instant::now();
        let (mut limited, endpoint) = known(now);
        note(&mut limited, endpoint, LimitState::Full, now);
        limited.free(&[EndpointId::new()], now);
        assert!(limited.due(now).is_empty());
        assert_eq!(limited.due(now + POLL), [endpoint]);
        limited.free(&[endpoint.1], now);
        assert_eq!(limited.due(now), [endpoint]);
    }

    #[test]
    fn an_endpoint_with_an_open_circuit_is_asked_for_at_once_only_for_what_is_express() {
        let now = Instant::now();
        let (mut limited, endpoint) = known(now);
        let wait = Duration::from_secs(5);
        note(&mut limited, endpoint, LimitState::CircuitOpen(wait), now);
        limited.meet(&[endpoint], now);
        assert!(limited.due(now).is_empty());
        assert_eq!(limited.next_after(now), Some(wait));
        limited.meet_express(&[endpoint], now);
        assert_eq!(limited.due(now), [endpoint]);
        note(&mut limited, endpoint, LimitState::CircuitOpen(wait), now);
        limited.free(&[endpoint.1], now);
        assert_eq!(limited.due(now), [endpoint], "it may have closed");
        note(&mut limited, endpoint, LimitState::NextSlotAfter(wait), now);
        limited.meet_express(&[endpoint], now);
        assert!(limited.due(now).is_empty(), "a rate holds for all");
    }

    #[test]
    fn what_is_express_does_not_wait_until_a_probe_has_ended() {
        let now = Instant::now();
        let (mut limited, endpoint) = known(now);
        note(&mut limited, endpoint, LimitState::Full, now);
        assert!(limited.due(now).is_empty());
        limited.meet_express(&[endpoint], now);
        assert_eq!(limited.due(now), [endpoint]);
    }

    #[test]
    fn who_has_been_due_for_longest_is_asked_for_first() {
        let now = Instant::now();
        let mut limited = Limited::new(POLL);
        let endpoints: Vec<LimitedEndpoint> = (0..20)
            .map(|_| (TenantId::new(), EndpointId::new()))
            .collect();
        for (seconds, endpoint) in (0..20).rev().zip(&endpoints) {
            limited.meet(&[*endpoint], now + Duration::from_secs(seconds));
        }
        let later = now + Duration::from_mins(1);
        let due: Vec<_> = limited.due(later).into_iter().rev().collect();
        assert_eq!(due, endpoints);
        // One of which more could have been taken is due again at once, behind all others.
        let first = limited.due(later)[0];
        limited.note(
            [first].into_iter(),
            &[(first.1, LimitState::Open)],
            true,
            later,
        );
        assert_eq!(limited.due(later).last(), Some(&first));
    }

    #[test]
    fn an_endpoint_without_more_is_forgotten_and_one_held_by_another_is_not() {
        let now = Instant::now();
        let (mut limited, endpoint) = known(now);
        limited.note([endpoint].into_iter(), &[], false, now);
        assert_eq!(limited.next_after(now), Some(HELD_PAUSE));
        limited.note(
            [endpoint].into_iter(),
            &[(endpoint.1, LimitState::Open)],
            true,
            now,
        );
        assert_eq!(limited.due(now), [endpoint], "there may be more of it");
        note(&mut limited, endpoint, LimitState::Open, now);
        assert!(limited.due(now).is_empty() && limited.next_after(now).is_none());
    }
}
