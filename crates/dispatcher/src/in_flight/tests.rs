use std::time::Duration;

use reprise_core::ids::{AttemptId, DeliveryId, EventId, LeaseToken};

use super::*;

const LIMITS: Limits = Limits {
    in_flight: 16,
    per_tenant: 2,
    per_endpoint: 2,
};

fn capacity() -> (Capacity, Arc<Wakeup>) {
    let wakeup = Arc::new(Wakeup::default());
    (Capacity::new(LIMITS, Arc::clone(&wakeup)), wakeup)
}

pub(crate) fn claim(payload_bytes: u32) -> Claim {
    Claim {
        tenant_id: TenantId::new(),
        delivery_id: DeliveryId::new(),
        endpoint_id: EndpointId::new(),
        endpoint_version: 1,
        timeout: Duration::from_secs(15),
        event_id: EventId::new(),
        attempt_id: AttemptId::new(),
        attempt_number: 1,
        payload_bytes,
        is_express: false,
        replay_of: None,
        is_limited: false,
        ready_at: None,
        lease_token: LeaseToken(EventId::new().as_uuid()),
    }
}

async fn is_woken(wakeup: &Wakeup) -> bool {
    let started = tokio::time::Instant::now();
    wakeup.wait(Duration::from_secs(60)).await;
    started.elapsed() < Duration::from_secs(60)
}

#[test]
fn express_keeps_a_reserve() {
    let (capacity, _) = capacity();
    let room = capacity.room();
    assert_eq!((room.express, room.ready), (16, 12));
    let _taken = capacity.take_permits(room.ready);
    let room = capacity.room();
    assert_eq!((room.express, room.ready), (4, 0));
    assert_eq!([1, 4, 8, 512].map(express_reserve), [0, 2, 4, 64]);
}

#[test]
fn a_claim_that_is_being_made_has_nothing_in_flight() {
    let (capacity, _) = capacity();
    let mut permits = capacity.take_permits(10);
    assert_eq!(capacity.held_count(), 0);
    let _permit = permits.split_one();
    assert_eq!(capacity.held_count(), 1);
}

#[test]
fn a_panic_gives_permit_and_slot_back() {
    let (capacity, _) = capacity();
    let held = (
        capacity.take_permits(1).split_one(),
        capacity.take_slot(&claim(7)),
    );
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _held = held;
        panic!("in an attempt");
    }));
    assert!(panicked.is_err());
    assert_eq!((capacity.free_permits(), capacity.held_count()), (16, 0));
    assert!(capacity.in_flight().by_endpoint.is_empty());
    assert_eq!(capacity.room().payload_bytes, MAX_PAYLOAD_BYTES);
}

#[tokio::test(start_paused = true)]
async fn a_slot_wakes_the_claimer_where_its_tenant_was_held_back() {
    let (capacity, wakeup) = capacity();
    let claim = claim(0);
    let slots: Vec<_> = (0..9).map(|_| capacity.take_slot(&claim)).collect();
    let mut slots = slots.into_iter();
    capacity.in_flight();
    capacity.hold_back([TenantId::new()]);
    drop(slots.next());
    assert!(!is_woken(&wakeup).await, "it was another one");
    capacity.in_flight();
    capacity.hold_back([claim.tenant_id]);
    drop(slots.next());
    assert!(is_woken(&wakeup).await);
    drop(slots.next());
    assert!(!is_woken(&wakeup).await, "once is enough");
    // One that ends while the claim is being made.
    capacity.in_flight();
    drop(slots.next());
    while is_woken(&wakeup).await {}
    capacity.hold_back([claim.tenant_id]);
    assert!(is_woken(&wakeup).await);
}

#[tokio::test(start_paused = true)]
async fn a_quick_attempt_that_ends_wakes_nobody_that_is_held_back_for_slow_ones() {
    let limits = Limits {
        in_flight: 512,
        per_tenant: 64,
        per_endpoint: 2,
    };
    let wakeup = Arc::new(Wakeup::default());
    let capacity = Capacity::new(limits, Arc::clone(&wakeup));
    let claim = claim(0);
    let slots: Vec<_> = (0..40).map(|_| capacity.take_slot(&claim)).collect();
    let mut slots = slots.into_iter();
    let mut end_one = || {
        let mut slot = slots.next().expect("there are enough");
        slot.note(Some(Duration::ZERO));
        drop(slot);
    };
    capacity.in_flight();
    capacity.hold_back([claim.tenant_id]);
    end_one();
    assert!(is_woken(&wakeup).await, "nothing was known of it");
    capacity.in_flight();
    capacity.hold_back([claim.tenant_id]);
    end_one();
    assert!(!is_woken(&wakeup).await);
}

#[tokio::test(start_paused = true)]
async fn a_slot_wakes_the_claimer_where_an_endpoint_with_a_limit_had_no_room() {
    let (capacity, wakeup) = capacity();
    let claim = claim(0);
    let mut slots = (0..9)
        .map(|_| capacity.take_slot(&claim))
        .collect::<Vec<_>>()
        .into_iter();
    let other = (claim.tenant_id, EndpointId::new());
    let rooms = || capacity.rooms_at([other].into_iter(), capacity.room(), 1);
    assert!(rooms().is_empty(), "its tenant has more than it may");
    drop(slots.next());
    assert!(is_woken(&wakeup).await);
    drop(slots.next());
    assert!(!is_woken(&wakeup).await, "nobody has asked since");
}

#[test]
fn endpoints_that_are_not_known_to_be_quick_leave_a_quarter_to_those_that_are() {
    let limits = Limits {
        in_flight: 512,
        per_tenant: 8,
        per_endpoint: 8,
    };
    let capacity = Capacity::new(limits, Arc::new(Wakeup::default()));
    let claim = claim(0);
    let room = |capacity: &Capacity| {
        let asked = [(claim.tenant_id, claim.endpoint_id)].into_iter();
        let rooms = capacity.rooms_at(asked, capacity.room(), 1);
        rooms.first().map_or(0, |(_, room)| *room)
    };
    assert_eq!(room(&capacity), 6, "nothing is known of it");
    let take_other = |_| {
        let endpoint_id = EndpointId::new();
        capacity.take_slot(&Claim {
            endpoint_id,
            ..claim.clone()
        })
    };
    let others: Vec<_> = (0..6).map(take_other).collect();
    assert_eq!(room(&capacity), 0);
    let mut slot = capacity.take_slot(&claim);
    slot.note(Some(Duration::from_millis(1)));
    drop(slot);
    assert_eq!(room(&capacity), 2);
    let in_flight = capacity.in_flight();
    assert_eq!(in_flight.slow_by_tenant[&claim.tenant_id], 6);
    assert!(!in_flight.is_slow(&claim.endpoint_id));
    drop(others);
}

#[test]
fn an_endpoint_that_has_answered_all_it_got_at_once_gets_more() {
    let (capacity, _) = capacity();
    let claim = claim(0);
    let all: Vec<Slot> = (0..LIMITS.per_endpoint)
        .map(|_| capacity.take_slot(&claim))
        .collect();
    assert!(capacity.in_flight().ahead_by_endpoint.is_empty());
    drop(all);
    let in_flight = capacity.in_flight();
    assert!(in_flight.by_endpoint.is_empty());
    let ahead = in_flight.ahead_by_endpoint[&claim.endpoint_id];
    assert_eq!(ahead, i32::from(LIMITS.per_endpoint));
}

#[tokio::test(start_paused = true)]
async fn bytes_are_a_limit_of_their_own_and_wake_the_claimer_when_freed() {
    let (capacity, wakeup) = capacity();
    let large = u32::try_from(MAX_PAYLOAD_BYTES).expect("64 MiB fit");
    let slot = capacity.take_slot(&claim(large));
    assert_eq!(capacity.room().payload_bytes, 0);
    drop(slot);
    assert!(is_woken(&wakeup).await);
}
