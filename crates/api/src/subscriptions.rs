//! The endpoints of each tenant, cached for publishing.
//!
//! The cache can be stale and nothing is lost: the insert names the version it was made from, and stores nothing
//! when that is no longer the tenant's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use reprise_core::endpoint::Subscriptions;
use reprise_core::ids::TenantId;
use reprise_core::store::events::{self, MAX_DELIVERIES, NewEvent, Published};
use reprise_core::store::{AsyncPgConnection, StoreError, subscriptions};
use time::OffsetDateTime;

use crate::error::ApiError;

/// Tenants kept. Beyond it the cache starts anew: simpler than picking one to forget, and as good, since a miss
/// costs one query.
const MAX_TENANTS: usize = 10_000;
/// How often publishing begins again when endpoints change under it. Each time somebody else's change was committed.
const MAX_TRIES: usize = 20;

/// Events that have been stored, with their deliveries.
pub struct StoredEvents {
    /// The database's time of the commit.
    pub created_at: OffsetDateTime,
    /// The number of deliveries of each event, in order.
    pub delivery_counts: Vec<usize>,
}

/// Subscriptions by tenant.
#[derive(Default)]
pub struct SubscriptionCache {
    by_tenant: Mutex<HashMap<TenantId, Arc<Subscriptions>>>,
}

impl SubscriptionCache {
    /// Publishes events to the tenant's endpoints as they are at the commit: every endpoint made before this call
    /// began gets those that it wants.
    ///
    /// # Errors
    ///
    /// [`ApiError::TooManyDeliveries`], and those of the store. Nothing is stored then, unless it is
    /// [`ApiError::Unavailable`], which leaves that open.
    pub async fn publish(
        &self,
        conn: &mut AsyncPgConnection,
        tenant_id: TenantId,
        events: &[NewEvent],
    ) -> Result<StoredEvents, ApiError> {
        let mut subscriptions = match self.get(tenant_id) {
            Some(cached) => cached,
            None => self.load(conn, tenant_id).await?,
        };
        for _ in 0..MAX_TRIES {
            match events::publish(conn, tenant_id, &subscriptions, events).await? {
                Published::Stored {
                    created_at,
                    delivery_counts,
                } => {
                    return Ok(StoredEvents {
                        created_at,
                        delivery_counts,
                    });
                }
                Published::TooManyDeliveries => {
                    return Err(ApiError::TooManyDeliveries(MAX_DELIVERIES));
                }
                Published::SubscriptionsChanged => {
                    subscriptions = self.load(conn, tenant_id).await?;
                }
            }
        }
        let cause = "the tenant's endpoints keep changing";
        Err(ApiError::Unavailable(cause.to_owned()))
    }

    fn get(&self, tenant_id: TenantId) -> Option<Arc<Subscriptions>> {
        self.by_tenant
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&tenant_id)
            .cloned()
    }

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        tenant_id: TenantId,
    ) -> Result<Arc<Subscriptions>, StoreError> {
        let loaded = Arc::new(subscriptions::list(conn, tenant_id).await?);
        let mut by_tenant = self
            .by_tenant
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if by_tenant.len() >= MAX_TENANTS {
            by_tenant.clear();
        }
        by_tenant.insert(tenant_id, Arc::clone(&loaded));
        Ok(loaded)
    }
}
