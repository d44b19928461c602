//! The contents of a commit as they are put together: columns of tenants, of events and of their deliveries.

use std::collections::HashMap;

use super::{ENOUGH_DELIVERIES, MAX_DELIVERIES, NewEvent, Publication, Published};
use crate::event_type::EventGroup;
use crate::ids::{AttemptId, DeliveryId, TenantId};
use crate::ready_hint::ReadyHint;
use crate::subscriptions::Subscriptions;

/// The tenants of a commit. Its rows name them by their places: joined by their ids, many tenants' rows cost the product.
#[derive(Default)]
pub(super) struct TenantColumns {
    pub(super) ids: Vec<uuid::Uuid>,
    /// The `endpoints_version` that the deliveries of each were made from.
    pub(super) versions: Vec<i64>,
    places: HashMap<TenantId, Place>,
}

/// A tenant's place in its commit, from one on, as PostgreSQL counts.
pub(super) type Place = i32;

impl TenantColumns {
    /// The place that a tenant has, or will have if it is [kept](Self::keep). None if its endpoints are in the commit as
    /// they were at another version.
    fn place(&self, tenant_id: TenantId, version: i64) -> Option<Place> {
        let Some(place) = self.places.get(&tenant_id) else {
            let after_last = Place::try_from(self.ids.len() + 1);
            return Some(after_last.unwrap_or(Place::MAX));
        };
        (element(&self.versions, *place) == Some(&version)).then_some(*place)
    }

    fn keep(&mut self, (place, tenant_id): (Place, TenantId), version: i64) {
        if self.places.insert(tenant_id, place).is_none() {
            self.ids.push(tenant_id.as_uuid());
            self.versions.push(version);
        }
    }
}

/// What stands at a place.
pub(super) fn element<T>(column: &[T], place: Place) -> Option<&T> {
    column.get(usize::try_from(place).ok()?.checked_sub(1)?)
}

/// The events of a commit, column by column.
#[derive(Default)]
pub(super) struct EventColumns<'a> {
    pub(super) tenants: Vec<Place>,
    pub(super) ids: Vec<uuid::Uuid>,
    pub(super) types: Vec<&'a str>,
    pub(super) groups: Vec<Option<&'a str>>,
    pub(super) payloads: Vec<&'a [u8]>,
}

impl<'a> EventColumns<'a> {
    fn add(&mut self, tenant: Place, event: &'a NewEvent) {
        self.tenants.push(tenant);
        self.ids.push(event.id.as_uuid());
        self.types.push(event.event_type.as_str());
        self.groups
            .push(event.event_group.as_ref().map(EventGroup::as_str));
        self.payloads.push(&event.payload);
    }

    fn truncate(&mut self, length: usize) {
        self.tenants.truncate(length);
        self.ids.truncate(length);
        self.types.truncate(length);
        self.groups.truncate(length);
        self.payloads.truncate(length);
    }
}

/// The deliveries of a commit, column by column.
#[derive(Default)]
pub(super) struct DeliveryColumns<'a> {
    pub(super) tenants: Vec<Place>,
    pub(super) ids: Vec<uuid::Uuid>,
    pub(super) event_ids: Vec<uuid::Uuid>,
    pub(super) endpoint_ids: Vec<uuid::Uuid>,
    pub(super) owners: Vec<i64>,
    pub(super) attempt_ids: Vec<uuid::Uuid>,
    pub(super) are_sent: Vec<bool>,
    pub(super) event_types: Vec<&'a str>,
    pub(super) event_groups: Vec<Option<&'a str>>,
    pub(super) payload_bytes: Vec<i32>,
}

impl<'a> DeliveryColumns<'a> {
    /// Adds a delivery for every subscription that wants the event, and returns their number.
    fn add(
        &mut self,
        (tenant, tenant_id): (Place, TenantId),
        event: &'a NewEvent,
        from: &Subscriptions,
        ready: &mut ReadyHint,
    ) -> usize {
        let before = self.ids.len();
        let payload_bytes = i32::try_from(event.payload.len()).unwrap_or(i32::MAX);
        for subscription in from.wanting(&event.event_type) {
            self.tenants.push(tenant);
            self.ids.push(DeliveryId::new().as_uuid());
            self.event_ids.push(event.id.as_uuid());
            self.endpoint_ids.push(subscription.endpoint_id.as_uuid());
            self.owners.push(subscription.owner.0);
            self.attempt_ids.push(AttemptId::new().as_uuid());
            self.are_sent.push(subscription.is_enabled);
            self.event_types.push(event.event_type.as_str());
            self.event_groups
                .push(event.event_group.as_ref().map(EventGroup::as_str));
            self.payload_bytes.push(payload_bytes);
            if subscription.has_limit {
                // The walk is what finds it.
                *ready = ReadyHint::Anywhere;
            } else if subscription.is_enabled {
                ready.add(tenant_id, subscription.endpoint_id);
            }
        }
        self.ids.len() - before
    }

    fn truncate(&mut self, length: usize) {
        self.tenants.truncate(length);
        self.ids.truncate(length);
        self.event_ids.truncate(length);
        self.endpoint_ids.truncate(length);
        self.owners.truncate(length);
        self.attempt_ids.truncate(length);
        self.are_sent.truncate(length);
        self.event_types.truncate(length);
        self.event_groups.truncate(length);
        self.payload_bytes.truncate(length);
    }
}

/// The contents of a commit as they are put together.
#[derive(Default)]
pub(super) struct Draft<'a> {
    pub(super) tenants: TenantColumns,
    pub(super) events: EventColumns<'a>,
    pub(super) deliveries: DeliveryColumns<'a>,
    /// Where something is to be sent.
    pub(super) ready: ReadyHint,
}

/// Whether a publication is in the draft.
pub(super) enum Taken {
    /// It is, as its tenant's.
    In {
        tenant: Place,
        /// Of each event.
        delivery_counts: Vec<usize>,
    },
    /// It is not.
    Out(Published),
}

impl<'a> Draft<'a> {
    /// Takes a publication, unless that makes the commit too large. The first one is taken however large it is.
    pub(super) fn take(&mut self, one: &Publication<'a>) -> Taken {
        let (events, deliveries) = (self.events.ids.len(), self.deliveries.ids.len());
        let version = one.subscriptions.version();
        let Some(tenant) = self.tenants.place(one.tenant_id, version) else {
            return Taken::Out(Published::SubscriptionsChanged);
        };
        let mut delivery_counts = Vec::with_capacity(one.events.len());
        let mut refusal = None;
        for event in one.events {
            self.events.add(tenant, event);
            let count = self.deliveries.add(
                (tenant, one.tenant_id),
                event,
                one.subscriptions,
                &mut self.ready,
            );
            delivery_counts.push(count);
            let made = self.deliveries.ids.len();
            if one.events.len() > 1 && made - deliveries > MAX_DELIVERIES {
                refusal = Some(Published::TooManyDeliveries);
            } else if events > 0 && made > ENOUGH_DELIVERIES {
                refusal = Some(Published::NoRoom);
            }
            if let Some(refusal) = refusal {
                self.events.truncate(events);
                self.deliveries.truncate(deliveries);
                return Taken::Out(refusal);
            }
        }
        self.tenants.keep((tenant, one.tenant_id), version);
        Taken::In {
            tenant,
            delivery_counts,
        }
    }
}
