//! The endpoints of each tenant, cached for publishing.
//!
//! The cache can be stale and nothing is lost: the insert names the version it was made from, and stores nothing
//! when that is no longer the tenant's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reprise_core::ids::TenantId;
use reprise_core::store::{AsyncPgConnection, StoreError, subscriptions};
use reprise_core::subscriptions::Subscriptions;

/// Tenants kept. Beyond it the cache starts anew: simpler than picking one to forget, and as good, since a miss
/// costs one query.
const MAX_TENANTS: usize = 10_000;

/// Subscriptions by tenant.
#[derive(Default)]
pub struct SubscriptionCache {
    by_tenant: Mutex<HashMap<TenantId, Arc<Subscriptions>>>,
}

impl SubscriptionCache {
    /// The subscriptions of tenants, by tenant; those that are not cached are read together. Tenants that are not there
    /// are left out.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when PostgreSQL can't be asked or a row can't be read.
    pub async fn get(
        &self,
        conn: &mut AsyncPgConnection,
        tenants: impl Iterator<Item = TenantId>,
    ) -> Result<BTreeMap<TenantId, Arc<Subscriptions>>, StoreError> {
        let mut found = BTreeMap::new();
        let mut missing = Vec::new();
        let tenants: BTreeSet<TenantId> = tenants.collect();
        for tenant_id in tenants {
            match self.cached().get(&tenant_id) {
                Some(cached) => {
                    found.insert(tenant_id, Arc::clone(cached));
                }
                None => missing.push(tenant_id),
            }
        }
        if !missing.is_empty() {
            for (tenant_id, loaded) in subscriptions::list_of(conn, &missing).await? {
                found.insert(tenant_id, self.keep(tenant_id, loaded));
            }
        }
        Ok(found)
    }

    /// How many endpoints a tenant has, as far as is known.
    pub fn endpoint_count(&self, tenant_id: TenantId) -> usize {
        let cached = self.cached();
        cached.get(&tenant_id).map_or(0, |one| one.list().len())
    }

    /// Forgets what has turned out to be stale, unless somebody has read it anew meanwhile.
    pub fn forget(&self, tenant_id: TenantId, stale: &Subscriptions) {
        let mut cached = self.cached();
        if cached
            .get(&tenant_id)
            .is_some_and(|one| one.version() <= stale.version())
        {
            cached.remove(&tenant_id);
        }
    }

    fn keep(&self, tenant_id: TenantId, loaded: Subscriptions) -> Arc<Subscriptions> {
        let loaded = Arc::new(loaded);
        let mut cached = self.cached();
        if cached.len() >= MAX_TENANTS {
            cached.clear();
        }
        cached.insert(tenant_id, Arc::clone(&loaded));
        loaded
    }

    fn cached(&self) -> MutexGuard<'_, HashMap<TenantId, Arc<Subscriptions>>> {
        self.by_tenant
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
