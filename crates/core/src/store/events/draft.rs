//! The contents of a commit as they are put together: columns of events and of their deliveries.

use std::collections::BTreeMap;

use super::{ENOUGH_DELIVERIES, MAX_DELIVERIES, NewEvent, Publication, Published};
use crate::event_type::EventGroup;
use crate::ids::{AttemptId, DeliveryId, TenantId};
use crate::ready_hint::ReadyHint;
use crate::subscriptions::Subscriptions;

/// The events of a commit, column by column.
#[derive(Default)]
pub(super) struct EventColumns<'a> {
    pub(super) tenants: Vec<uuid::Uuid>,
    pub(super) ids: Vec<uuid::Uuid>,
    pub(super) types: Vec<&'a str>,
    pub(super) groups: Vec<Option<&'a str>>,
    pub(super) payloads: Vec<&'a [u8]>,
}

impl<'a> EventColumns<'a> {
    fn add(&mut self, tenant_id: TenantId, event: &'a NewEvent) {
        self.tenants.push(tenant_id.as_uuid());
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
    pub(super) tenants: Vec<uuid::Uuid>,
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
        tenant_id: TenantId,
        event: &'a NewEvent,
        from: &Subscriptions,
        ready: &mut ReadyHint,
    ) -> usize {
        let before = self.ids.len();
        let payload_bytes = i32::try_from(event.payload.len()).unwrap_or(i32::MAX);
        for subscription in from.wanting(&event.event_type) {
            self.tenants.push(tenant_id.as_uuid());
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
    /// The `endpoints_version` that each tenant's deliveries were made from.
    pub(super) versions: BTreeMap<TenantId, i64>,
    pub(super) events: EventColumns<'a>,
    pub(super) deliveries: DeliveryColumns<'a>,
    /// Where something is to be sent.
    pub(super) ready: ReadyHint,
}

/// Whether a publication is in the draft.
pub(super) enum Taken {
    /// With so many deliveries of each event.
    In(Vec<usize>),
    /// It is not.
    Out(Published),
}

impl<'a> Draft<'a> {
    /// Takes a publication, unless that makes the commit too large. The first one is taken however large it is.
    pub(super) fn take(&mut self, one: &Publication<'a>) -> Taken {
        let (events, deliveries) = (self.events.ids.len(), self.deliveries.ids.len());
        let version = one.subscriptions.version();
        if self
            .versions
            .get(&one.tenant_id)
            .is_some_and(|known| *known != version)
        {
            return Taken::Out(Published::SubscriptionsChanged);
        }
        let mut counts = Vec::with_capacity(one.events.len());
        let mut refusal = None;
        for event in one.events {
            self.events.add(one.tenant_id, event);
            let deliveries_of_event =
                self.deliveries
                    .add(one.tenant_id, event, one.subscriptions, &mut self.ready);
            counts.push(deliveries_of_event);
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
        self.versions.insert(one.tenant_id, version);
        Taken::In(counts)
    }
}
