//! Limits of endpoints, over all dispatchers: claims made at once never pass them together.

use std::collections::HashSet;
use std::time::Duration;

use reprise_core::endpoint::{EndpointLimits, EndpointSettings};
use reprise_core::ids::EndpointId;
use reprise_core::store::delivery_queue::{LimitState, LimitedClaim};

use crate::world::{Account, World, claim_for_limited, claim_once, settings};

/// An endpoint with these limits, and so many deliveries ready.
async fn limited(
    rate_per_second: Option<u32>,
    max_in_flight: Option<u32>,
    ready: usize,
) -> (World, Account, EndpointId) {
    let settings = EndpointSettings {
        limits: EndpointLimits {
            rate_per_second,
            max_in_flight,
        },
        ..settings()
    };
    let (mut world, account, endpoint) = World::with_endpoint(settings).await;
    world.enqueue(account, endpoint, ready).await;
    (world, account, endpoint)
}

/// Four dispatchers that claim at once, ten times each; returns what they have taken.
async fn race(world: &World, account: Account, endpoint: EndpointId) -> Vec<LimitedClaim> {
    let racers = (0..4).map(async |_| {
        let mut conn = world.connect().await;
        let mut taken = Vec::new();
        for _ in 0..10 {
            taken.push(claim_for_limited(&mut conn, world, account, endpoint).await);
        }
        taken
    });
    let taken = futures_util::future::join_all(racers).await;
    taken.into_iter().flatten().collect()
}

#[tokio::test]
async fn claims_at_once_never_have_more_in_flight_than_the_limit() {
    let (mut world, account, endpoint) = limited(None, Some(3), 50).await;
    for _ in 0..5 {
        let taken = race(&world, account, endpoint).await;
        let ids: HashSet<_> = taken
            .iter()
            .flat_map(|one| &one.claims)
            .map(|claim| claim.delivery_id)
            .collect();
        assert_eq!(ids.len(), 3);
        assert!(
            taken
                .iter()
                .any(|one| one.states == [(endpoint, LimitState::Full)])
        );
        // Two of them end; what is still leased counts.
        world
            .sql("DELETE FROM delivery_queue WHERE ctid IN (SELECT ctid FROM delivery_queue WHERE lease_token IS NOT NULL LIMIT 2)")
            .await;
        let again = race(&world, account, endpoint).await;
        assert_eq!(again.iter().map(|one| one.claims.len()).sum::<usize>(), 2);
        world.expire_leases().await;
        world
            .sql("DELETE FROM delivery_queue WHERE lease_token IS NOT NULL")
            .await;
    }
}

#[tokio::test]
async fn lease_that_has_expired_frees_its_place() {
    let (mut world, account, endpoint) = limited(None, Some(2), 10).await;
    assert_eq!(claim_once(&world, account, endpoint).await.claims.len(), 2);
    assert_eq!(claim_once(&world, account, endpoint).await.claims.len(), 0);
    world.expire_leases().await;
    assert_eq!(claim_once(&world, account, endpoint).await.claims.len(), 2);
}

#[tokio::test]
async fn claims_at_once_never_take_more_slots_than_the_rate_allows() {
    // A slot in ten seconds: whatever the race takes, time brings no other.
    let (mut world, account, endpoint) = limited(Some(1), None, 50).await;
    world
        .sql("UPDATE endpoint_limits SET next_slot_at = now() - interval '1 hour'")
        .await;
    let began = std::time::Instant::now();
    let taken = race(&world, account, endpoint).await;
    let count: usize = taken.iter().map(|one| one.claims.len()).sum();
    let slots = usize::try_from(began.elapsed().as_secs()).expect("few") + 1;
    assert!((1..=slots).contains(&count), "{count} of {slots}");
    let waits = taken.iter().flat_map(|one| &one.states);
    assert!(waits.into_iter().any(|(_, state)| {
        matches!(state, LimitState::NextSlotAfter(wait) if *wait <= Duration::from_secs(1))
    }));
}

#[tokio::test]
async fn rate_lets_through_only_a_small_burst_after_a_pause_and_then_one_slot_after_the_other() {
    // 200 a second: 50 ms are ten slots.
    let (mut world, account, endpoint) = limited(Some(200), None, 100).await;
    let first = claim_once(&world, account, endpoint).await;
    assert_eq!(first.claims.len(), 10, "not a whole second's worth");
    world
        .sql("UPDATE endpoint_limits SET next_slot_at = clock_timestamp() + interval '1 hour'")
        .await;
    let later = claim_once(&world, account, endpoint).await;
    assert_eq!(later.claims.len(), 0);
    let [(_, LimitState::NextSlotAfter(wait))] = later.states[..] else {
        panic!("{:?}", later.states);
    };
    assert!(wait > Duration::from_mins(59), "{wait:?}");
    // The slots of the burst were its last: one more comes with each five milliseconds.
    world
        .sql("UPDATE endpoint_limits SET next_slot_at = clock_timestamp() - interval '12 milliseconds'")
        .await;
    let taken = claim_once(&world, account, endpoint).await.claims.len();
    assert!((3..=10).contains(&taken), "{taken}");
}

#[tokio::test]
async fn endpoints_with_a_limit_are_told_of_by_the_fair_claim_and_not_claimed_for() {
    let (mut world, account, endpoint) = limited(Some(5), None, 3).await;
    let free = world.endpoint(account).await;
    world.enqueue(account, free, 2).await;
    let claims = world.claim(100).await;
    assert!(
        claims
            .iter()
            .all(|claim| claim.endpoint_id == free && !claim.is_limited)
    );
    assert_eq!(claims.len(), 2);
    let taken = claim_once(&world, account, endpoint).await;
    assert!(!taken.claims.is_empty() && taken.claims.iter().all(|claim| claim.is_limited));
    world
        .sql("UPDATE endpoints SET rate_limit_per_second = NULL")
        .await;
    assert_eq!(
        world.claim(100).await.len(),
        3 - taken.claims.len(),
        "without a limit it is claimed as any"
    );
}

#[tokio::test]
async fn express_deliveries_obey_the_limit_and_go_first() {
    let (mut world, account, endpoint) = limited(None, Some(1), 3).await;
    world
        .sql("UPDATE delivery_queue SET express = true WHERE delivery_id = (SELECT max(delivery_id::text)::uuid FROM delivery_queue)")
        .await;
    assert_eq!(world.claim_express(10).await.len(), 0);
    let taken = claim_once(&world, account, endpoint).await;
    assert_eq!(taken.claims.len(), 1);
    assert!(taken.claims[0].is_express);
}

#[tokio::test]
async fn disabled_endpoint_is_not_claimed_for() {
    let (mut world, account, endpoint) = limited(Some(5), None, 3).await;
    world
        .sql("UPDATE endpoints SET status = 'disabled', disabled_reason = 'x'")
        .await;
    let taken = claim_once(&world, account, endpoint).await;
    assert_eq!(
        (taken.claims.len(), &taken.states[..]),
        (0, &[(endpoint, LimitState::Open)][..])
    );
}
