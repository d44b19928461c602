//! Who gets how many of the places that are free: whoever has least in flight, tenant before tenant, and in each of
//! them endpoint before endpoint.
//!
//! A receiver that is slow, dead or far behind has much in flight, and so is passed over for those that have not. And
//! some places are kept from it, so that others need not wait until it has timed out: of a tenant's places a quarter,
//! which only endpoints get that are known to answer quickly; of all places those that a tenant may have only while it
//! has little in flight itself. (So switches share their buffers: Choudhury and Hahne, Dynamic Queue Length Thresholds,
//! 1998.)

mod quick;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

pub use quick::{QUICK, QuickEndpoints};

use crate::ids::{EndpointId, TenantId};

/// How many attempts are in flight, by endpoint and by tenant.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    /// By endpoint; endpoints with none are left out.
    pub by_endpoint: HashMap<EndpointId, i32>,
    /// By tenant; tenants with none are left out.
    pub by_tenant: HashMap<TenantId, i32>,
    /// How many an endpoint may have beyond its cap, since it will have a place for each by the time that it is
    /// claimed.
    pub ahead_by_endpoint: HashMap<EndpointId, i32>,
    /// Endpoints that have been quick.
    pub quick: QuickEndpoints,
    /// Endpoints that have something in flight and have not answered for a while.
    pub stalled: HashSet<EndpointId>,
    /// By tenant, at endpoints that are not quick.
    pub slow_by_tenant: HashMap<TenantId, i32>,
}

impl InFlight {
    /// Whether this endpoint is not known to answer quickly now.
    #[must_use]
    pub fn is_slow(&self, id: &EndpointId) -> bool {
        !self.quick.contains(id) || self.stalled.contains(id)
    }

    /// How many more an endpoint may have, were it alone.
    #[must_use]
    pub fn room_at(&self, id: &EndpointId, caps: Caps) -> i32 {
        let ahead = self.ahead_by_endpoint.get(id).copied().unwrap_or(0);
        let busy = self.by_endpoint.get(id).copied().unwrap_or(0);
        caps.per_endpoint + ahead - busy
    }
}

/// A tenant may have so many times as much in flight as is free for all. More, and less is left for those that come
/// later; less, and a few slow ones leave more places empty: `n` tenants leave one in `1 + 4n`.
const TENANT_SHARE: i32 = 4;

/// How many attempts may be in flight.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// At one endpoint.
    pub per_endpoint: i32,
    /// Of one tenant.
    pub per_tenant: i32,
}

impl Caps {
    /// Of one tenant, while so many places are free for all.
    #[must_use]
    pub fn of_tenant(&self, free: usize) -> i32 {
        let free = i32::try_from(free).unwrap_or(i32::MAX);
        self.per_tenant.min(free.saturating_mul(TENANT_SHARE))
    }

    /// Of these, at endpoints that are not known to be quick. The rest is kept for those that are.
    #[must_use]
    pub fn slow_of_tenant(&self, free: usize) -> i32 {
        let of_tenant = self.of_tenant(free);
        of_tenant - of_tenant / 4
    }
}

/// A tenant's endpoints in turn, each by what it has in flight, its lot, and its place among the candidates.
type Turns = BinaryHeap<Reverse<(i32, u32, usize)>>;

/// Shares `places` among candidates, one by one, as far as the caps allow and what is left `free` then, and returns how
/// many each of them gets. What `in_flight` says is counted; lots decide among equals, so that none of them always
/// comes first.
#[must_use]
pub fn share_out(
    places: usize,
    mut free: usize,
    candidates: &[(TenantId, EndpointId)],
    in_flight: &InFlight,
    caps: Caps,
    mut lot: impl FnMut() -> u32,
) -> Vec<i32> {
    let mut shares = vec![0; candidates.len()];
    let mut endpoints: HashMap<TenantId, Turns> = HashMap::new();
    for (place, (tenant_id, endpoint_id)) in candidates.iter().enumerate() {
        let busy = in_flight.by_endpoint.get(endpoint_id).copied();
        let turn = Reverse((busy.unwrap_or(0), lot(), place));
        endpoints.entry(*tenant_id).or_default().push(turn);
    }
    let mut tenants: BinaryHeap<_> = endpoints
        .keys()
        .map(|tenant_id| {
            let busy = in_flight.by_tenant.get(tenant_id).copied();
            Reverse((busy.unwrap_or(0), lot(), *tenant_id))
        })
        .collect();
    let mut slow = in_flight.slow_by_tenant.clone();
    let mut left = places;
    while left > 0
        && let Some(Reverse((busy, tenant_lot, tenant_id))) = tenants.pop()
    {
        let next = (busy < caps.of_tenant(free))
            .then(|| endpoints.get_mut(&tenant_id)?.pop())
            .flatten();
        // Whoever may have no more is out, since what is free gets less only; so is a tenant of which no endpoint is left.
        let Some(Reverse((at_endpoint, endpoint_lot, place))) = next else {
            continue;
        };
        let mut busy = busy;
        let endpoint_id = &candidates[place].1;
        let is_slow = in_flight.is_slow(endpoint_id);
        let slow = slow.entry(tenant_id).or_default();
        if shares[place] < in_flight.room_at(endpoint_id, caps)
            && !(is_slow && *slow >= caps.slow_of_tenant(free))
        {
            shares[place] += 1;
            left -= 1;
            free = free.saturating_sub(1);
            busy += 1;
            *slow += i32::from(is_slow);
            if let Some(turns) = endpoints.get_mut(&tenant_id) {
                turns.push(Reverse((at_endpoint + 1, endpoint_lot, place)));
            }
        }
        tenants.push(Reverse((busy, tenant_lot, tenant_id)));
    }
    shares
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const CAPS: Caps = Caps {
        per_endpoint: 8,
        per_tenant: 20,
    };

    /// Tenants with so many endpoints each.
    fn candidates(endpoint_counts: &[usize]) -> Vec<(TenantId, EndpointId)> {
        let of_tenant = |count: &usize| {
            let tenant_id = TenantId::new();
            (0..*count).map(move |_| (tenant_id, EndpointId::new()))
        };
        endpoint_counts.iter().flat_map(of_tenant).collect()
    }

    fn put(
        in_flight: &mut InFlight,
        (tenant_id, endpoint_id): &(TenantId, EndpointId),
        count: i32,
    ) {
        *in_flight.by_endpoint.entry(*endpoint_id).or_default() += count;
        *in_flight.by_tenant.entry(*tenant_id).or_default() += count;
        if in_flight.is_slow(endpoint_id) {
            *in_flight.slow_by_tenant.entry(*tenant_id).or_default() += count;
        }
    }

    fn share(
        places: usize,
        candidates: &[(TenantId, EndpointId)],
        in_flight: &InFlight,
    ) -> Vec<i32> {
        let mut lots = 0..;
        share_out(places, places, candidates, in_flight, CAPS, || {
            lots.next().expect("there is no last number")
        })
    }

    #[test]
    fn tenants_share_alike_however_many_endpoints_they_have() {
        let candidates = candidates(&[1, 10]);
        let shares = share(9, &candidates, &InFlight::default());
        assert_eq!(shares[0], 4, "and one is left");
        assert_eq!(shares[1..].iter().filter(|share| **share == 1).count(), 4);
    }

    #[test]
    fn whoever_has_least_in_flight_comes_first() {
        let candidates = candidates(&[1, 1]);
        let in_flight = InFlight {
            by_endpoint: HashMap::from([(candidates[0].1, 5)]),
            by_tenant: HashMap::from([(candidates[0].0, 5)]),
            ..InFlight::default()
        };
        assert_eq!(share(6, &candidates, &in_flight), [0, 5], "one is left");
        assert_eq!(share(8, &candidates, &in_flight), [1, 6]);
    }

    /// What is in flight when these have taken, one after the other, as much as they may, and what is left.
    fn fill(candidates: &[(TenantId, EndpointId)], places: usize) -> (InFlight, usize) {
        let (mut in_flight, mut left) = (InFlight::default(), places);
        for one in candidates {
            let taken = share(left, std::slice::from_ref(one), &in_flight)[0];
            put(&mut in_flight, one, taken);
            left -= usize::try_from(taken).expect("not less than none");
        }
        (in_flight, left)
    }

    #[test]
    fn however_many_endpoints_hang_their_tenants_quick_ones_find_a_place() {
        let candidates = candidates(&[50]);
        let (mut in_flight, left) = fill(&candidates[1..], 100);
        assert_eq!(
            share(left, &candidates[..1], &in_flight),
            [0],
            "nothing is known of it"
        );
        in_flight.quick.note(candidates[0].1, Duration::ZERO);
        assert_eq!(share(left, &candidates[..1], &in_flight), [5], "a quarter");
        in_flight.stalled.insert(candidates[0].1);
        assert_eq!(
            share(left, &candidates[..1], &in_flight),
            [0],
            "not while it does not answer"
        );
    }

    #[test]
    fn tenants_that_have_much_leave_places_for_those_that_come_later() {
        // Each may have 15, so that these would have all.
        let candidates = candidates(&[2, 2, 2, 2]);
        let (in_flight, left) = fill(&candidates[..6], 45);
        assert!(
            share(left, &candidates[6..], &in_flight)[0] > 0,
            "{left} are left"
        );
    }

    #[test]
    fn quick_endpoints_have_their_quarter_also_where_all_places_are_few() {
        // Fewer than one tenant may have.
        let candidates = candidates(&[4]);
        let (mut in_flight, left) = fill(&candidates[1..], 16);
        in_flight.quick.note(candidates[0].1, Duration::ZERO);
        assert!(
            share(left, &candidates[..1], &in_flight)[0] > 0,
            "{left} are left"
        );
    }

    #[test]
    fn whoever_is_fast_gets_more_than_its_cap() {
        let candidates = candidates(&[1]);
        let in_flight = InFlight {
            ahead_by_endpoint: HashMap::from([(candidates[0].1, 3)]),
            ..InFlight::default()
        };
        assert_eq!(share(20, &candidates, &in_flight), [CAPS.per_endpoint + 3]);
    }

    proptest! {
        #[test]
        fn no_cap_is_passed_and_no_place_left_that_somebody_may_have(
            endpoint_counts in prop::collection::vec(1_usize..6, 1..6),
            busy in prop::collection::vec(0_i32..12, 30),
            quick in prop::collection::vec(any::<bool>(), 30),
            places in 0_usize..200,
        ) {
            let candidates = candidates(&endpoint_counts);
            let mut in_flight = InFlight::default();
            for ((one, busy), is_quick) in candidates.iter().zip(busy).zip(quick) {
                if is_quick {
                    in_flight.quick.note(one.1, Duration::ZERO);
                }
                put(&mut in_flight, one, busy);
            }
            let shares = share(places, &candidates, &in_flight);
            let shared: i32 = shares.iter().sum();
            let left = places - usize::try_from(shared).expect("not less than none");
            let mut after = in_flight.clone();
            for (one, share) in candidates.iter().zip(&shares) {
                put(&mut after, one, *share);
            }
            for ((tenant_id, endpoint_id), share) in candidates.iter().zip(&shares) {
                let (at_endpoint, of_tenant) = (after.by_endpoint[endpoint_id], after.by_tenant[tenant_id]);
                let slow = after.is_slow(endpoint_id).then(|| after.slow_by_tenant[tenant_id]);
                prop_assert!(*share == 0 || (at_endpoint <= CAPS.per_endpoint && of_tenant <= CAPS.per_tenant));
                prop_assert!(*share == 0 || slow.is_none_or(|slow| slow <= CAPS.slow_of_tenant(places)));
                let may_have_more = at_endpoint < CAPS.per_endpoint && of_tenant < CAPS.of_tenant(left)
                    && slow.is_none_or(|slow| slow < CAPS.slow_of_tenant(left));
                prop_assert!(left == 0 || !may_have_more);
            }
        }
    }
}
