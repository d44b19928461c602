//! Who gets how many of the places that are free: whoever has least in flight, tenant before tenant, and in each of them
//! endpoint before endpoint.
//!
//! A receiver that is slow, dead or far behind has much in flight, and so is passed over for those that have not.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::ids::{EndpointId, TenantId};

/// How many attempts are in flight, by endpoint and by tenant.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    /// By endpoint; endpoints with none are left out.
    pub by_endpoint: HashMap<EndpointId, i32>,
    /// By tenant; tenants with none are left out.
    pub by_tenant: HashMap<TenantId, i32>,
    /// How many an endpoint may have beyond its cap, since it will have a place for each by the time that it is claimed.
    pub ahead_by_endpoint: HashMap<EndpointId, i32>,
}

/// How many attempts may be in flight.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// At one endpoint.
    pub per_endpoint: i32,
    /// Of one tenant.
    pub per_tenant: i32,
}

/// A tenant's endpoints in turn, each by what it has in flight, its lot, and its place among the candidates.
type Turns = BinaryHeap<Reverse<(i32, u32, usize)>>;

/// Shares `places` among candidates, one by one, as far as the caps allow, and returns how many each of them gets. What
/// `in_flight` says is counted; lots decide among equals, so that none of them always comes first.
#[must_use]
pub fn share_out(
    places: usize,
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
    let mut left = places;
    while left > 0
        && let Some(Reverse((busy, tenant_lot, tenant_id))) = tenants.pop()
    {
        let next = (busy < caps.per_tenant)
            .then(|| endpoints.get_mut(&tenant_id)?.pop())
            .flatten();
        // Whoever is at a cap is out; so is a tenant of which no endpoint is left.
        let Some(Reverse((at_endpoint, endpoint_lot, place))) = next else {
            continue;
        };
        let mut busy = busy;
        let ahead = in_flight.ahead_by_endpoint.get(&candidates[place].1);
        if at_endpoint < caps.per_endpoint + ahead.copied().unwrap_or(0) {
            shares[place] += 1;
            left -= 1;
            busy += 1;
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

    fn share(
        places: usize,
        candidates: &[(TenantId, EndpointId)],
        in_flight: &InFlight,
    ) -> Vec<i32> {
        let mut lots = 0..;
        share_out(places, candidates, in_flight, CAPS, || {
            lots.next().expect("there is no last number")
        })
    }

    #[test]
    fn tenants_share_alike_however_many_endpoints_they_have() {
        let candidates = candidates(&[1, 10]);
        let shares = share(8, &candidates, &InFlight::default());
        assert_eq!(shares[0], 4);
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
        assert_eq!(share(5, &candidates, &in_flight), [0, 5]);
        assert_eq!(share(7, &candidates, &in_flight), [1, 6]);
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
            places in 0_usize..200,
        ) {
            let candidates = candidates(&endpoint_counts);
            let mut in_flight = InFlight::default();
            for ((tenant_id, endpoint_id), busy) in candidates.iter().zip(busy) {
                in_flight.by_endpoint.insert(*endpoint_id, busy);
                *in_flight.by_tenant.entry(*tenant_id).or_default() += busy;
            }
            let shares = share(places, &candidates, &in_flight);
            let mut after = in_flight.clone();
            for ((tenant_id, endpoint_id), share) in candidates.iter().zip(&shares) {
                *after.by_endpoint.get_mut(endpoint_id).expect("entered") += share;
                *after.by_tenant.get_mut(tenant_id).expect("entered") += share;
            }
            let mut somebody_may_have_more = false;
            for ((tenant_id, endpoint_id), share) in candidates.iter().zip(&shares) {
                let (at_endpoint, of_tenant) = (after.by_endpoint[endpoint_id], after.by_tenant[tenant_id]);
                prop_assert!(*share == 0 || (at_endpoint <= CAPS.per_endpoint && of_tenant <= CAPS.per_tenant));
                somebody_may_have_more |= at_endpoint < CAPS.per_endpoint && of_tenant < CAPS.per_tenant;
            }
            let shared: i32 = shares.iter().sum();
            prop_assert!(usize::try_from(shared) == Ok(places) || !somebody_may_have_more);
        }
    }
}
