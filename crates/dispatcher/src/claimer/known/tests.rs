//! What is remembered of endpoints, and for how long.

use super::*;
use reprise_core::ids::{AttemptId, EventId, LeaseToken};

const LONG_AGO: OffsetDateTime = time::macros::datetime!(2026-01-01 0:00 UTC);

/// The `place`th of some deliveries that were made long ago.
fn old(place: u128) -> DeliveryId {
    let first = first_uuid_at(LONG_AGO).as_u128();
    DeliveryId::from_uuid(uuid::Uuid::from_u128(first + place))
}

fn one(now: Instant) -> (KnownEndpoints, Key) {
    let key = (TenantId::new(), EndpointId::new());
    let mut known = KnownEndpoints::default();
    assert!(known.add(&[key], now).are_all);
    (known, key)
}

fn claim((tenant_id, endpoint_id): Key, delivery_id: DeliveryId) -> Claim {
    Claim {
        tenant_id,
        delivery_id,
        endpoint_id,
        endpoint_version: 1,
        timeout: Duration::from_secs(15),
        event_id: EventId::new(),
        attempt_id: AttemptId::new(),
        attempt_number: 1,
        payload_bytes: 0,
        replay_of: None,
        is_express: false,
        is_limited: false,
        ready_at: None,
        lease_token: LeaseToken(EventId::new().as_uuid()),
    }
}

/// Notes that these were claimed of a share.
fn note(known: &mut KnownEndpoints, key: Key, share: i32, claimed: &[DeliveryId], now: Instant) {
    let candidates = known.candidates(now);
    let taken = ReadyClaim {
        claims: claimed.iter().map(|id| claim(key, *id)).collect(),
        shares: vec![share; candidates.len()],
        ..ReadyClaim::default()
    };
    known.note(&candidates, &taken, false, now);
}

fn after(known: &KnownEndpoints, now: Instant) -> Vec<Option<DeliveryId>> {
    let candidates = known.candidates(now).into_iter();
    candidates.map(|candidate| candidate.after).collect()
}

#[test]
fn the_next_look_begins_after_what_was_claimed_and_now_and_then_at_the_start() {
    let now = Instant::now();
    let (mut known, key) = one(now);
    assert_eq!(after(&known, now), [None]);
    note(&mut known, key, 2, &[old(4), old(3)], now);
    assert_eq!(after(&known, now), [Some(old(4))]);
    assert_eq!(after(&known, now + FROM_START), [None]);
    known.look_from_start();
    assert_eq!(after(&known, now), [None]);
}

#[test]
fn a_look_from_the_start_that_finds_much_goes_on_there() {
    let now = Instant::now();
    let (mut known, key) = one(now);
    note(&mut known, key, 1, &[old(9)], now);
    known.look_from_start();
    note(&mut known, key, 2, &[old(1), old(2)], now);
    assert_eq!(after(&known, now), [Some(old(2))]);
}

#[test]
fn what_was_made_a_moment_ago_is_never_passed_over() {
    let now = Instant::now();
    let (mut known, key) = one(now);
    let newest = DeliveryId::new();
    note(&mut known, key, 1, &[newest], now);
    let after = after(&known, now)[0].expect("it is not from the start");
    assert!(after < newest && after > old(0));
}

#[test]
fn an_endpoint_that_had_less_than_its_share_is_asked_again_after_a_hint_only() {
    let now = Instant::now();
    let (mut known, key) = one(now);
    note(&mut known, key, 2, &[old(1)], now);
    assert!(!known.has_candidates() && known.candidates(now).is_empty());
    assert_eq!(known.keys(), [key], "the walk need not look there");
    known.wake_quiet();
    assert!(known.has_candidates());
    note(&mut known, key, 0, &[], now);
    assert!(known.has_candidates(), "without a share nothing was learnt");
}

#[test]
fn an_endpoint_of_which_nothing_is_had_is_doubted_now_and_then() {
    let now = Instant::now();
    let (mut known, key) = one(now);
    let mut doubtful = |claimed: &[DeliveryId], now| {
        known.wake_quiet();
        let candidates = known.candidates(now);
        let taken = ReadyClaim {
            claims: claimed.iter().map(|id| claim(key, *id)).collect(),
            shares: vec![2; candidates.len()],
            ..ReadyClaim::default()
        };
        known.note(&candidates, &taken, false, now);
        known.doubtful(&candidates, &taken, now)
    };
    assert!(doubtful(&[old(1)], now).is_empty(), "it gives something");
    assert_eq!(doubtful(&[], now), [key]);
    assert!(doubtful(&[], now).is_empty(), "a moment ago");
    assert_eq!(doubtful(&[], now + DOUBT_INTERVAL), [key]);
    known.forget(&[key]);
    assert!(known.keys().is_empty());
}

#[test]
fn of_many_quiet_endpoints_the_latest_are_kept() {
    let now = Instant::now();
    let mut known = KnownEndpoints::default();
    for _ in 0..MAX_QUIET + 5 {
        known.add(&[(TenantId::new(), EndpointId::new())], now);
    }
    let later = now + Duration::from_millis(1);
    let latest = (TenantId::new(), EndpointId::new());
    known.add(&[latest], later);
    note(&mut known, latest, 1, &[], later);
    assert_eq!(known.keys().len(), MAX_QUIET);
    assert!(known.keys().contains(&latest));
}
#[test]
fn where_there_is_no_room_one_tenants_many_endpoints_give_way() {
    let now = Instant::now();
    let (mut known, first) = one(now);
    let of_tenant = |_| (first.0, EndpointId::new());
    let rest: Vec<_> = (1..MAX_KNOWN).map(of_tenant).collect();
    assert!(known.add(&rest, now).are_all);
    let another = (TenantId::new(), EndpointId::new());
    assert!(!known.add(&[another], now).are_all, "one is not remembered");
    assert_eq!(known.keys().len(), MAX_KNOWN);
    assert!(known.keys().contains(&another));
    assert!(!known.add(&[of_tenant(0)], now).are_all);
    assert_eq!(known.keys().len(), MAX_KNOWN);
    assert!(known.add(&[another], now).are_all, "it is known");
}
