//! Several callers' events in one commit, made from cached subscriptions.

use reprise_core::failpoint;
use reprise_core::ids::TenantId;
use reprise_core::ready_hint::ReadyHint;
use reprise_core::store::events::{
    self, MAX_DELIVERIES, NewEvent, Publication, Published, Telling, publish_together,
};
use reprise_core::store::{AsyncPgConnection, StoreError};
use time::OffsetDateTime;

use crate::error::ApiError;
use crate::subscriptions::SubscriptionCache;

/// How often publishing begins again when endpoints change under it. Each time somebody else's change was committed.
pub(super) const MAX_TRIES: usize = 20;

/// One caller's events, stored with their deliveries.
#[derive(Clone, Debug)]
pub struct StoredEvents {
    /// The database's time of the commit.
    pub created_at: OffsetDateTime,
    /// The number of deliveries of each event, in order.
    pub delivery_counts: Vec<usize>,
}

/// What came of one caller's events.
pub(super) enum Outcome {
    /// They are stored, or never will be.
    Decided(Result<StoredEvents, ApiError>),
    /// Others were stored instead: there was no room for these in the commit.
    NoRoom,
    /// The tenant's endpoints were not those that the cache knew, which has forgotten them.
    EndpointsChanged,
}

/// Stores callers' events in one commit, to the tenants' endpoints as they are at that commit, and tells what came of
/// each, in order, and what the dispatchers were not told of. Of the first one something comes in any case.
///
/// # Errors
///
/// [`StoreError`], of which any one event may be the cause; nothing is stored then. [`StoreError::Unavailable`] leaves
/// that open.
pub(super) async fn store_together(
    conn: &mut AsyncPgConnection,
    cache: &SubscriptionCache,
    wanted: &[(TenantId, &[NewEvent])],
    telling: &Telling,
) -> Result<(Vec<Outcome>, ReadyHint), StoreError> {
    let tenants = wanted.iter().map(|(tenant_id, _)| *tenant_id);
    let subscriptions = cache.get(conn, tenants).await?;
    let publications: Vec<Publication<'_>> = wanted
        .iter()
        .filter_map(|&(tenant_id, events)| {
            Some(Publication {
                tenant_id,
                subscriptions: subscriptions.get(&tenant_id)?,
                events,
            })
        })
        .collect();
    if publications.len() < wanted.len() {
        // Callers are authenticated, and tenants are never removed.
        return Err(StoreError::Corrupt("a caller's tenant is gone".to_owned()));
    }
    failpoint::hit("before_store");
    let together = publish_together(conn, &publications, telling).await?;
    failpoint::hit("after_store");
    let each = publications.iter().zip(together.published);
    let outcomes = each.map(|(one, published)| {
        if published == Published::SubscriptionsChanged {
            cache.forget(one.tenant_id, one.subscriptions);
        }
        outcome(published)
    });
    Ok((outcomes.collect(), together.untold))
}

fn outcome(published: Published) -> Outcome {
    match published {
        Published::Stored {
            created_at,
            delivery_counts,
        } => Outcome::Decided(Ok(StoredEvents {
            created_at,
            delivery_counts,
        })),
        Published::TooManyDeliveries => {
            Outcome::Decided(Err(ApiError::TooManyDeliveries(MAX_DELIVERIES)))
        }
        Published::SubscriptionsChanged => Outcome::EndpointsChanged,
        Published::NoRoom => Outcome::NoRoom,
    }
}

/// Stores one caller's events in a commit, or the caller's transaction, of their own. The caller tells the dispatchers.
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
    for _ in 0..MAX_TRIES {
        let (mut outcomes, _) =
            store_together(conn, cache, &[(tenant_id, events)], &Telling::Nobody).await?;
        if let Some(Outcome::Decided(decided)) = outcomes.pop() {
            return decided;
        }
    }
    Err(keep_changing())
}

/// The error of events that could not be stored for the changes of their tenant's endpoints.
pub(super) fn keep_changing() -> ApiError {
    ApiError::Unavailable("the tenant's endpoints keep changing".to_owned())
}

/// Finds what was stored of an event when the answer to its commit was lost.
///
/// # Errors
///
/// Those of the store.
pub(super) async fn find_stored(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    event: &NewEvent,
) -> Result<StoredEvents, ApiError> {
    let found = events::find_stored(conn, tenant_id, event.id).await?;
    let (created_at, count) = found.ok_or_else(|| {
        ApiError::Internal("an event's id is taken by none of the tenant's".to_owned())
    })?;
    Ok(StoredEvents {
        created_at,
        delivery_counts: vec![count],
    })
}
