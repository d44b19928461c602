//! Who gives way where no more endpoints can be remembered.

use std::collections::HashMap;

use reprise_core::ids::{EndpointId, TenantId};

use super::Key;

/// The remembered endpoints of each tenant.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    by_tenant: HashMap<TenantId, Vec<EndpointId>>,
}

impl Crowd {
    /// Of the endpoints of one tenant, the first ones stay longest.
    pub(super) fn of(endpoints: impl Iterator<Item = Key>) -> Self {
        let mut crowd = Self::default();
        for (tenant_id, endpoint_id) in endpoints {
            let of_tenant = crowd.by_tenant.entry(tenant_id).or_default();
            of_tenant.push(endpoint_id);
        }
        crowd
    }

    /// Puts an endpoint in the place of one of the tenant that has most, and returns that one. There is none if the
    /// newcomer's tenant has as many, or would have: then the two would only take turns.
    pub(super) fn make_room_for(&mut self, (tenant_id, endpoint_id): Key) -> Option<Key> {
        let of_newcomer = self.by_tenant.get(&tenant_id).map_or(0, Vec::len);
        let most = self.by_tenant.iter_mut();
        let (crowded, endpoints) = most.max_by_key(|(_, endpoints)| endpoints.len())?;
        if endpoints.len() <= of_newcomer + 1 {
            return None;
        }
        let gives_way = (*crowded, endpoints.pop()?);
        self.by_tenant
            .entry(tenant_id)
            .or_default()
            .push(endpoint_id);
        Some(gives_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(tenant_id: TenantId, count: usize) -> Vec<Key> {
        std::iter::repeat_with(|| (tenant_id, EndpointId::new()))
            .take(count)
            .collect()
    }

    #[test]
    fn a_newcomer_takes_the_place_of_the_tenant_that_has_most_until_it_has_as_many() {
        let [large, small, new] = [TenantId::new(), TenantId::new(), TenantId::new()];
        let all = [endpoints(large, 6), endpoints(small, 2)].concat();
        let mut crowd = Crowd::of(all.into_iter());
        let gave_way: Vec<_> = endpoints(new, 5)
            .into_iter()
            .map(|key| crowd.make_room_for(key).map(|(tenant_id, _)| tenant_id))
            .collect();
        assert_eq!(
            gave_way,
            [Some(large), Some(large), Some(large), None, None]
        );
    }

    #[test]
    fn a_tenants_own_endpoints_do_not_take_each_others_places() {
        let tenant_id = TenantId::new();
        let mut crowd = Crowd::of(endpoints(tenant_id, 3).into_iter());
        let newcomer = (tenant_id, EndpointId::new());
        assert_eq!(crowd.make_room_for(newcomer), None);
    }
}
