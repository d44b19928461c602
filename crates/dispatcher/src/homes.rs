//! Which dispatcher looks first where something has become ready: the endpoint's home. The others look a little later,
//! once for all that they have heard of meanwhile. So a notification that all of them hear costs one claim and not one
//! of each, but for those few; and an endpoint's connections are kept where they are used.
//!
//! It is a hint and no right: whoever looks may claim, and dispatchers that do not know the same peers yet, or a home
//! that is full, draining or dead, cost a delivery [`HEAD_START`] and nothing else: the first of them [`LONGEST_HEAD_START`] at most.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reprise_core::ids::{DispatcherId, EndpointId};

/// How long an endpoint's home may take before others look. Longer, and what it can't take waits, as it does where it
/// is dead and nobody has noticed yet; shorter, and all look at once again when it is busy.
pub(crate) const HEAD_START: Duration = Duration::from_millis(20);

/// The same where the others have looked in vain again and again. Longer, and a home that has died costs more once;
/// shorter, and many dispatchers that have nothing to do cost PostgreSQL more.
pub(crate) const LONGEST_HEAD_START: Duration = Duration::from_millis(160);

/// The homes of all endpoints, as far as this dispatcher knows its peers.
#[derive(Clone, Debug)]
pub(crate) struct Homes {
    own_id: DispatcherId,
    alive: Arc<RwLock<Vec<DispatcherId>>>,
}

impl Homes {
    /// Of a dispatcher that knows no peers yet: the home of all.
    pub(crate) fn alone(own_id: DispatcherId) -> Self {
        Self {
            own_id,
            alive: Arc::default(),
        }
    }

    /// Those are alive now.
    pub(crate) fn are_among(&self, alive: Vec<DispatcherId>) {
        *self.alive.write().unwrap_or_else(PoisonError::into_inner) = alive;
    }

    /// Whether this dispatcher is the home of an endpoint: where one comes or goes, only those endpoints move that it
    /// gets or had (rendezvous hashing: Thaler and Ravishankar, Using Name-Based Mappings to Increase Hit Rates, 1998).
    pub(crate) fn is_here(&self, endpoint_id: EndpointId) -> bool {
        let own = weight(self.own_id, endpoint_id);
        let alive = self.alive.read().unwrap_or_else(PoisonError::into_inner);
        alive.iter().all(|peer| weight(*peer, endpoint_id) <= own)
    }
}

/// The same in all dispatchers of one build; those of another may think otherwise.
fn weight(dispatcher_id: DispatcherId, endpoint_id: EndpointId) -> u64 {
    let mut hasher = DefaultHasher::new();
    (dispatcher_id, endpoint_id).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dispatchers(count: usize) -> Vec<Homes> {
        let ids: Vec<_> = (0..count).map(|_| DispatcherId::new()).collect();
        let knowing_all = |id: &DispatcherId| {
            let homes = Homes::alone(*id);
            homes.are_among(ids.clone());
            homes
        };
        ids.iter().map(knowing_all).collect()
    }

    #[test]
    fn each_endpoint_has_one_home_and_each_dispatcher_its_part() {
        let dispatchers = dispatchers(4);
        let mut parts = [0; 4];
        for _ in 0..1_000 {
            let endpoint_id = EndpointId::new();
            let at = |one: &Homes| one.is_here(endpoint_id);
            let places: Vec<_> = dispatchers.iter().map(at).collect();
            assert_eq!(places.iter().filter(|is_here| **is_here).count(), 1);
            for (part, is_here) in parts.iter_mut().zip(places) {
                *part += u32::from(is_here);
            }
        }
        assert!(parts.iter().all(|part| *part > 150), "{parts:?}");
    }

    #[test]
    fn whoever_knows_no_peers_is_the_home_of_all() {
        let homes = Homes::alone(DispatcherId::new());
        assert!((0..100).all(|_| homes.is_here(EndpointId::new())));
    }

    #[test]
    fn only_the_endpoints_of_a_dispatcher_that_is_gone_move() {
        let dispatchers = dispatchers(3);
        let endpoints: Vec<_> = (0..300).map(|_| EndpointId::new()).collect();
        let are_at = |one: &Homes| endpoints.iter().map(|id| one.is_here(*id)).collect();
        let before: Vec<Vec<bool>> = dispatchers.iter().map(are_at).collect();
        let left = vec![dispatchers[0].own_id, dispatchers[1].own_id];
        for (one, before) in dispatchers.iter().zip(&before).take(2) {
            one.are_among(left.clone());
            let after: Vec<bool> = are_at(one);
            let has_lost = |(before, after): (&bool, &bool)| *before && !after;
            assert!(!before.iter().zip(&after).any(has_lost));
            assert!(after.iter().filter(|is_here| **is_here).count() > 100);
        }
    }
}
