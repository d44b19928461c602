//! What is in flight: permits over all, and slots by endpoint and tenant with the bytes of their payloads.
//!
//! Both are given back by `Drop`, so that a task that panics gives them back too.
//!
//! A fast endpoint has more claimed than it may have in flight: what waits here for a place there is sent without
//! waiting for a claim. See [`pace`].

mod at_endpoint;
mod pace;
mod permit;
mod slot;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use reprise_core::fair_share::{Caps, InFlight, QuickEndpoints};
use reprise_core::ids::{EndpointId, TenantId};
use reprise_core::store::delivery_queue::{Claim, LimitedEndpoint};
use tokio::sync::Semaphore;

use self::at_endpoint::AtEndpoint;
pub(crate) use self::permit::{Permit, Permits};
pub(crate) use self::slot::Slot;
use crate::config::Limits;
use crate::wakeup::Wakeup;

/// Payload bytes in flight at most, but for one payload more and for express deliveries, which are few. Less, and large
/// payloads are sent one after another; more, and 512 payloads of 1 MiB would fill the machine.
const MAX_PAYLOAD_BYTES: i64 = 64 * 1024 * 1024;

/// The books of this dispatcher.
#[derive(Clone, Debug)]
pub(crate) struct Capacity {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    wakeup: Arc<Wakeup>,
    books: Mutex<Books>,
    /// Deliveries that hold a permit: claims that are being made hold some too.
    held_count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Books {
    endpoints: HashMap<EndpointId, AtEndpoint>,
    by_tenant: HashMap<TenantId, i32>,
    /// Of what is in flight, express deliveries by tenant.
    express_by_tenant: HashMap<TenantId, i32>,
    payload_bytes: i64,
    /// Endpoints with a limit at which attempts have been recorded since the claimer looked.
    ended_at_limited: Vec<EndpointId>,
    quick: QuickEndpoints,
    /// Tenants with an endpoint that got less at the last claim than it may have, for the sake of others.
    held_back: HashSet<TenantId>,
    /// The same of endpoints with a limit.
    limited_held_back: HashSet<TenantId>,
    /// Tenants of which something has ended since then that they were held back for.
    eased: HashSet<TenantId>,
}

impl Books {
    fn is_slow(&self, id: EndpointId, now: Instant) -> bool {
        let at_endpoint = self.endpoints.get(&id);
        !self.quick.contains(&id) || at_endpoint.is_some_and(|one| one.is_stalled(now))
    }

    /// What tenants have at endpoints that are not quick.
    fn slow_by_tenant(&self, now: Instant) -> HashMap<TenantId, i32> {
        let mut slow = HashMap::new();
        for (id, one) in &self.endpoints {
            if self.is_slow(*id, now) {
                *slow.entry(one.tenant_id).or_default() += one.claimed;
            }
        }
        slow
    }
}

/// What may be claimed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Permits that express deliveries may have: all that are free.
    pub(crate) express: u16,
    /// Permits that others may have: without those reserved for express.
    pub(crate) ready: u16,
    /// Payload bytes that others may have.
    pub(crate) payload_bytes: i64,
}

impl Room {
    /// Whether there is room for others than express deliveries.
    pub(crate) fn is_any(self) -> bool {
        self.ready > 0 && self.payload_bytes > 0
    }
}

impl Capacity {
    pub(crate) fn new(limits: Limits, wakeup: Arc<Wakeup>) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(usize::from(limits.in_flight))),
            shared: Arc::new(Shared {
                limits,
                wakeup,
                books: Mutex::default(),
                held_count: AtomicUsize::new(0),
            }),
        }
    }

    /// Looks how much may be claimed. Where there is no room for ready deliveries, or so little that not every tenant
    /// may have some, the claimer is woken when there is more.
    pub(crate) fn room(&self) -> Room {
        self.shared.wakeup.want_room();
        let free = u16::try_from(self.permits.available_permits()).unwrap_or(u16::MAX);
        let room = Room {
            express: free,
            ready: free.saturating_sub(express_reserve(self.shared.limits.in_flight)),
            payload_bytes: MAX_PAYLOAD_BYTES.saturating_sub(self.shared.books().payload_bytes),
        };
        let caps = self.caps();
        let is_room_for_all = caps.of_tenant(usize::from(room.ready)) == caps.per_tenant;
        if is_room_for_all && room.payload_bytes > 0 {
            self.shared.wakeup.has_room();
        }
        room
    }

    /// Takes permits, as many of `wanted` as are free. Only the claimer takes any, so what it has seen is there.
    pub(crate) fn take_permits(&self, wanted: u16) -> Permits {
        let taken = Arc::clone(&self.permits).try_acquire_many_owned(u32::from(wanted));
        Permits::new(taken.ok(), Arc::clone(&self.shared))
    }

    /// Enters a claim into the books.
    pub(crate) fn take_slot(&self, claim: &Claim) -> Slot {
        let limits = self.shared.limits;
        let now = Instant::now();
        let mut books = self.shared.books();
        let at_endpoint = books
            .endpoints
            .entry(claim.endpoint_id)
            .or_insert_with(|| AtEndpoint::new(claim.tenant_id, limits, now));
        at_endpoint.claim_one(now);
        let places = Arc::clone(&at_endpoint.places);
        *books.by_tenant.entry(claim.tenant_id).or_default() += 1;
        books.payload_bytes += i64::from(claim.payload_bytes);
        if claim.is_express {
            *books.express_by_tenant.entry(claim.tenant_id).or_default() += 1;
        }
        drop(books);
        Slot {
            shared: Arc::clone(&self.shared),
            endpoint_id: claim.endpoint_id,
            tenant_id: claim.tenant_id,
            payload_bytes: i64::from(claim.payload_bytes),
            is_express: claim.is_express,
            places,
            took: None,
        }
    }

    /// How many more deliveries to each of these endpoints with a limit may be in flight, `at_most` so many that may
    /// have any. The claimer is woken when those of another one may.
    ///
    /// Each is told its room as if the others took nothing, so that one claim may pass a tenant's cap: taken together,
    /// those that have a single delivery due would wait for rooms that others do not use.
    pub(crate) fn rooms_at(
        &self,
        endpoints: impl Iterator<Item = LimitedEndpoint>,
        room: Room,
        at_most: usize,
    ) -> Vec<(LimitedEndpoint, i32)> {
        let (caps, now, free) = (self.caps(), Instant::now(), usize::from(room.ready));
        let mut books = self.shared.books();
        books.limited_held_back.clear();
        let slow_by_tenant = books.slow_by_tenant(now);
        let mut rooms = Vec::new();
        for (tenant_id, id) in endpoints {
            let of_tenant = books.by_tenant.get(&tenant_id).copied().unwrap_or(0);
            let at_endpoint = books.endpoints.get(&id).map_or(0, |one| one.claimed);
            let mut room = (caps.per_endpoint - at_endpoint).min(caps.of_tenant(free) - of_tenant);
            if books.is_slow(id, now) {
                let slow = slow_by_tenant.get(&tenant_id).copied().unwrap_or(0);
                room = room.min(caps.slow_of_tenant(free) - slow);
            }
            if room <= 0 {
                books.limited_held_back.insert(tenant_id);
            } else if rooms.len() < at_most {
                rooms.push(((tenant_id, id), room));
            }
        }
        rooms
    }

    /// The endpoints with a limit at which attempts have been recorded since this was called last.
    pub(crate) fn take_ended_at_limited(&self) -> Vec<EndpointId> {
        std::mem::take(&mut self.shared.books().ended_at_limited)
    }

    /// What is in flight now, for the claim that is about to be made: who was held back at the last one is forgotten.
    pub(crate) fn in_flight(&self) -> InFlight {
        let (limits, now) = (self.shared.limits, Instant::now());
        let mut books = self.shared.books();
        books.endpoints.retain(|_, one| !one.is_idle(now));
        books.held_back.clear();
        books.eased.clear();
        let mut in_flight = InFlight {
            by_tenant: books.by_tenant.clone(),
            quick: books.quick.clone(),
            ..InFlight::default()
        };
        for (id, one) in &mut books.endpoints {
            let ahead = one.ahead(limits, now);
            if one.claimed > 0 {
                in_flight.by_endpoint.insert(*id, one.claimed);
            }
            if ahead > 0 {
                in_flight.ahead_by_endpoint.insert(*id, ahead);
            }
            if one.is_stalled(now) {
                in_flight.stalled.insert(*id);
            }
            if in_flight.is_slow(id) {
                *in_flight.slow_by_tenant.entry(one.tenant_id).or_default() += one.claimed;
            }
        }
        in_flight
    }

    /// Tenants with an endpoint that got less than it may have, at the claim that has looked at what is
    /// [in flight](Self::in_flight): the claimer is woken when it may get more.
    pub(crate) fn hold_back(&self, tenants: impl IntoIterator<Item = TenantId>) {
        let mut books = self.shared.books();
        books.held_back.extend(tenants);
        if !books.held_back.is_disjoint(&books.eased) {
            self.shared.wakeup.nudge();
        }
    }

    /// Express deliveries in flight now, by tenant, and how many one tenant may have.
    pub(crate) fn express(&self) -> (HashMap<TenantId, i32>, i32) {
        let in_flight = self.shared.books().express_by_tenant.clone();
        (in_flight, express_per_tenant(self.shared.limits.in_flight))
    }

    /// What one endpoint and one tenant may have in flight.
    pub(crate) fn caps(&self) -> Caps {
        caps(self.shared.limits)
    }

    /// Deliveries that are claimed and not yet recorded, for metrics.
    pub(crate) fn held_count(&self) -> usize {
        self.shared.held_count.load(Ordering::Relaxed)
    }

    /// Permits that are free now, for metrics.
    pub(crate) fn free_permits(&self) -> usize {
        self.permits.available_permits()
    }
}

/// What one endpoint and one tenant may have in flight: no tenant has more than there are permits for.
fn caps(limits: Limits) -> Caps {
    let ready = limits.in_flight - express_reserve(limits.in_flight);
    Caps {
        per_endpoint: i32::from(limits.per_endpoint),
        per_tenant: i32::from(limits.per_tenant.min(ready)),
    }
}

/// Permits kept for express deliveries: an eighth, at least four, so that a synchronous redelivery is sent at once
/// while a backlog fills everything else; never more than half, so that a small dispatcher still works on its queue.
fn express_reserve(max_in_flight: u16) -> u16 {
    (max_in_flight / 8).max(4).min(max_in_flight / 2)
}

/// Express deliveries that one tenant may have in flight: a quarter of the reserve, at least two, so that nobody whose
/// receiver hangs takes the express lane, let alone everything, from the others.
fn express_per_tenant(max_in_flight: u16) -> i32 {
    i32::from((express_reserve(max_in_flight) / 4).max(2))
}

impl Shared {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one down and returns the count before; an entry at zero is removed.
fn take_one<Id: Eq + Hash>(counts: &mut HashMap<Id, i32>, id: Id) -> i32 {
    match counts.entry(id) {
        Entry::Vacant(_) => 0,
        Entry::Occupied(mut entry) => {
            let before = *entry.get();
            if before <= 1 {
                entry.remove();
            } else {
                entry.insert(before - 1);
            }
            before
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
