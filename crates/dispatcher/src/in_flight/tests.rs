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

fn claim(payload_bytes: u32) -> Claim {
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
async fn a_slot_wakes_the_claimer_only_where_the_limit_was_reached() {
    let (capacity, wakeup) = capacity();
    let claim = claim(0);
    let first = capacity.take_slot(&claim);
    let second = capacity.take_slot(&claim);
    drop(first);
    assert!(is_woken(&wakeup).await);
    drop(second);
    assert!(!is_woken(&wakeup).await);
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
