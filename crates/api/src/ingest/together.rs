//! Several callers' events in one commit, made from cached subscriptions.

use std::collections::BTreeMap;
use std::sync::Arc;

use reprise_core::endpoint::Subscriptions;
use reprise_core::ids::TenantId;
use reprise_core::store::events::{
    self, MAX_DELIVERIES, NewEvent, Published, TenantEvents, delivery_count,
};
use reprise_core::store::{AsyncPgConnection, StoreError};
use time::OffsetDateTime;

use crate::error::ApiError;
use crate::subscriptions::SubscriptionCache;

/// How often publishing begins again when endpoints change under it. Each time somebody else's change was committed.
const MAX_TRIES: usize = 20;

/// What one caller publishes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publication<'a> {
    /// Whose events they are.
    pub(super) tenant_id: TenantId,
    /// The events.
    pub(super) events: &'a [NewEvent],
}

/// One caller's events, stored with their deliveries.
#[derive(Clone, Debug)]
pub struct StoredEvents {
    /// The database's time of the commit.
    pub created_at: OffsetDateTime,
    /// The number of deliveries of each event, in order.
    pub delivery_counts: Vec<usize>,
}

/// The places of publications that are not stored yet, by tenant.
type Open = BTreeMap<TenantId, Vec<usize>>;

/// Stores publications in one commit, with deliveries to the tenants' endpoints as they are at that commit. What came of
/// each is told in order: `None`, and nothing is stored of it, where the tenant's endpoints kept changing.
///
/// # Errors
///
/// [`StoreError`], of which any one event may be the cause; in a single try nothing is stored then.
/// [`StoreError::Unavailable`] leaves that open.
pub(super) async fn store_together(
    conn: &mut AsyncPgConnection,
    cache: &SubscriptionCache,
    publications: &[Publication<'_>],
) -> Result<Vec<Option<StoredEvents>>, StoreError> {
    let mut stored = vec![None; publications.len()];
    for _ in 0..MAX_TRIES {
        let open = open(publications, &stored);
        if open.is_empty() {
            break;
        }
        let subscriptions = cache.get(conn, open.keys().copied()).await?;
        let groups = groups(publications, &subscriptions, &open);
        let published = events::publish_together(conn, &groups).await?;
        for (group, published) in groups.iter().zip(published) {
            match published {
                Published::Stored {
                    created_at,
                    delivery_counts,
                } => {
                    let mut counts = delivery_counts.into_iter();
                    for &place in &open[&group.tenant_id] {
                        let own = counts.by_ref().take(publications[place].events.len());
                        stored[place] = Some(StoredEvents {
                            created_at,
                            delivery_counts: own.collect(),
                        });
                    }
                }
                Published::SubscriptionsChanged => {
                    cache.forget(group.tenant_id, group.subscriptions);
                }
            }
        }
    }
    Ok(stored)
}

/// Stores one caller's events in a commit, or the caller's transaction, of their own.
///
/// # Errors
///
/// [`ApiError::TooManyDeliveries`], and those of the store. Nothing is stored then, unless it is
/// [`ApiError::Unavailable`], which leaves that open.
pub async fn publish(
    conn: &mut AsyncPgConnection,
    cache: &SubscriptionCache,
    tenant_id: TenantId,
    events: &[NewEvent],
) -> Result<StoredEvents, ApiError> {
    if events.len() > 1 {
        let subscriptions = cache.get(conn, std::iter::once(tenant_id)).await?;
        let count = |one: &Arc<Subscriptions>| delivery_count(one, events);
        if subscriptions.values().map(count).sum::<usize>() > MAX_DELIVERIES {
            return Err(ApiError::TooManyDeliveries(MAX_DELIVERIES));
        }
    }
    let publication = Publication { tenant_id, events };
    let mut stored = store_together(conn, cache, &[publication]).await?;
    stored.pop().flatten().ok_or_else(keep_changing)
}

/// The error of a publication that could not be stored for the changes of its tenant's endpoints.
pub(super) fn keep_changing() -> ApiError {
    ApiError::Unavailable("the tenant's endpoints keep changing".to_owned())
}

fn open(publications: &[Publication<'_>], stored: &[Option<StoredEvents>]) -> Open {
    let mut open = Open::new();
    for (place, one) in publications.iter().enumerate() {
        if stored[place].is_none() {
            open.entry(one.tenant_id).or_default().push(place);
        }
    }
    open
}

/// What is open of each tenant as one.
fn groups<'a>(
    publications: &[Publication<'a>],
    subscriptions: &'a BTreeMap<TenantId, Arc<Subscriptions>>,
    open: &Open,
) -> Vec<TenantEvents<'a>> {
    let group = |(&tenant_id, subscriptions): (&TenantId, &'a Arc<Subscriptions>)| TenantEvents {
        tenant_id,
        subscriptions,
        events: open[&tenant_id]
            .iter()
            .flat_map(|&place| publications[place].events)
            .collect(),
    };
    subscriptions.iter().map(group).collect()
}
