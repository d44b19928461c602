//! Circuits, over all dispatchers: what may be claimed while one is open, half-open and closing, and who changes it.

use std::collections::HashMap;
use std::time::Duration;

use reprise_core::endpoint::EndpointStatus;
use reprise_core::endpoint_url::EndpointUrl;
use reprise_core::ids::EndpointId;
use reprise_core::store::circuits::{self, CircuitCounts};
use reprise_core::store::delivery_queue::{LimitState, SeenCircuit, find_limited};
use reprise_core::store::endpoints::{self, EndpointChange};

use crate::world::{Account, World, claim_for_limited, claim_once, disabled, settings};

const MINUTE: Duration = Duration::from_mins(1);

/// An endpoint that has been failing for two minutes, with so many deliveries ready.
async fn failing(ready: usize) -> (World, Account, EndpointId) {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, ready).await;
    world
        .sql("UPDATE endpoints SET failing_since = now() - interval '2 minutes'")
        .await;
    (world, account, endpoint)
}

/// The same with an open circuit.
async fn dead(ready: usize) -> (World, Account, EndpointId) {
    let (mut world, account, endpoint) = failing(ready).await;
    assert!(open(&mut world, account, endpoint).await);
    (world, account, endpoint)
}

async fn open(world: &mut World, account: Account, endpoint: EndpointId) -> bool {
    circuits::open(
        &mut world.conn,
        (account.tenant, endpoint),
        1,
        MINUTE,
        MINUTE,
    )
    .await
    .expect("tried")
}

/// Lets the time pass for which the circuit is open.
async fn pass_pause(world: &mut World) {
    world
        .sql("UPDATE endpoint_limits SET circuit_open_until = clock_timestamp()")
        .await;
}

/// Lets so many seconds pass since it began to close.
async fn pass_closing(world: &mut World, seconds: u32) {
    let moved = format!(
        "UPDATE endpoint_limits SET circuit_open_until = clock_timestamp() - interval '{seconds} seconds',
                circuit_closing_since = clock_timestamp() - interval '{seconds} seconds'"
    );
    world.sql(&moved).await;
}

#[tokio::test]
async fn only_who_has_failed_for_long_without_a_success_has_its_circuit_opened_and_once() {
    let (mut world, account, endpoint) = failing(1).await;
    for healthy in [
        "UPDATE endpoints SET failing_since = now() - interval '59 seconds'",
        "UPDATE endpoints SET failing_since = NULL",
    ] {
        world.sql(healthy).await;
        assert!(!open(&mut world, account, endpoint).await, "{healthy}");
    }
    let long_ago = "UPDATE endpoints SET failing_since = now() - interval '61 seconds'";
    world.sql(long_ago).await;
    let key = (account.tenant, endpoint);
    let of_former = circuits::open(&mut world.conn, key, 0, MINUTE, MINUTE).await;
    assert_eq!(of_former.ok(), Some(false), "it is another one by now");
    assert!(open(&mut world, account, endpoint).await);
    assert!(!open(&mut world, account, endpoint).await);
    let found = world.find_endpoint(account, endpoint).await;
    assert!(found.circuit_opened_at.is_some());
}

#[tokio::test]
async fn nothing_is_claimed_while_a_circuit_is_open_but_what_is_express() {
    let (mut world, account, endpoint) = dead(3).await;
    assert!(world.claim(100).await.is_empty(), "not by the fair claim");
    let remembered = world.claim_remembered(account, endpoint, None).await;
    assert!(remembered.is_empty(), "nor by who knows it from before");
    let taken = claim_once(&world, account, endpoint).await;
    assert!(taken.claims.is_empty());
    let [(_, LimitState::CircuitOpen(wait))] = taken.states[..] else {
        panic!("{:?}", taken.states);
    };
    assert!(!wait.is_zero() && wait < MINUTE, "it is asked for again");
    let seen = SeenCircuit {
        openings: 1,
        is_closing: false,
    };
    let key = (account.tenant, endpoint);
    assert_eq!(taken.circuits, HashMap::from([(key, seen)]));

    world
        .sql("UPDATE delivery_queue SET express = true WHERE delivery_id = (SELECT max(delivery_id::text)::uuid FROM delivery_queue)")
        .await;
    let taken = claim_once(&world, account, endpoint).await;
    assert_eq!(taken.claims.len(), 1);
    assert!(taken.claims[0].is_express);
}

#[tokio::test]
async fn four_that_claim_at_once_from_a_half_open_circuit_get_one_delivery() {
    let (mut world, account, endpoint) = dead(20).await;
    pass_pause(&mut world).await;
    let racers = (0..4).map(async |_| {
        let mut conn = world.connect().await;
        let mut count = 0;
        for _ in 0..10 {
            count += claim_for_limited(&mut conn, &world, account, endpoint)
                .await
                .claims
                .len();
        }
        count
    });
    let counts = futures_util::future::join_all(racers).await;
    assert_eq!(counts.iter().sum::<usize>(), 1, "{counts:?}");
    world.expire_leases().await;
    let next = claim_once(&world, account, endpoint).await;
    assert_eq!(next.claims.len(), 1, "a probe whose dispatcher died");
}

#[tokio::test]
async fn of_failures_at_once_only_the_first_opens_a_circuit_again() {
    let (mut world, account, endpoint) = dead(1).await;
    let key = (account.tenant, endpoint);
    let early = circuits::reopen(&mut world.conn, key, 1, MINUTE).await;
    assert_eq!(early.ok(), Some(false), "it is open: an express one failed");
    pass_pause(&mut world).await;
    for expected in [true, false] {
        let reopened = circuits::reopen(&mut world.conn, key, 1, MINUTE).await;
        assert_eq!(reopened.ok(), Some(expected));
    }
    let taken = claim_once(&world, account, endpoint).await;
    assert_eq!(taken.circuits[&key].openings, 2);
    assert!(taken.claims.is_empty());
    pass_pause(&mut world).await;
    let late = circuits::reopen(&mut world.conn, key, 1, MINUTE).await;
    assert_eq!(late.ok(), Some(false), "of the pause before");
}

#[tokio::test]
async fn a_circuit_that_is_closing_lets_twice_as_many_through_each_second_and_ends() {
    let (mut world, account, endpoint) = dead(20).await;
    let key = (account.tenant, endpoint);
    for expected in [true, false] {
        let closing = circuits::begin_to_close(&mut world.conn, key).await;
        assert_eq!(closing.ok(), Some(expected));
    }
    let mut in_flight = 0;
    for (seconds, at_most) in [(0, 1), (1, 2), (2, 4), (3, 8)] {
        pass_closing(&mut world, seconds).await;
        in_flight += claim_once(&world, account, endpoint).await.claims.len();
        assert_eq!(in_flight, at_most, "after {seconds} s");
    }
    let closed = circuits::close_all_due(&mut world.conn).await;
    assert_eq!(closed.ok(), Some(0));
    pass_closing(&mut world, 10).await;
    let closed = circuits::close_all_due(&mut world.conn).await;
    assert_eq!(closed.ok(), Some(1));
    assert_eq!(world.claim(100).await.len(), 12, "as any other");
    let taken = claim_once(&world, account, endpoint).await;
    assert_eq!(taken.states, [(endpoint, LimitState::Open)]);
    let never_opened = circuits::reopen(&mut world.conn, key, 0, MINUTE).await;
    assert_eq!(never_opened.ok(), Some(false));
}

#[tokio::test]
async fn a_circuit_that_has_nothing_to_try_with_is_closed_after_an_hour() {
    let (mut world, ..) = dead(1).await;
    world
        .sql("UPDATE endpoint_limits SET circuit_open_until = clock_timestamp() - interval '61 minutes'")
        .await;
    let closed = circuits::close_all_due(&mut world.conn).await;
    assert_eq!(closed.ok(), Some(0), "there is something");
    world.sql("DELETE FROM delivery_queue").await;
    let closed = circuits::close_all_due(&mut world.conn).await;
    assert_eq!(closed.ok(), Some(1));
}

#[tokio::test]
async fn another_url_or_status_closes_a_circuit() {
    let changes: [(&str, bool); 3] = [
        ("http://127.0.0.1:1/elsewhere", true),
        ("", false),
        ("http://127.0.0.1:1/elsewhere", false),
    ];
    for (url, is_enabled) in changes {
        let (mut world, account, endpoint) = dead(1).await;
        let keys = world.keys().clone();
        let change = |found: &reprise_core::endpoint::Endpoint| {
            let mut settings = found.settings.clone();
            if !url.is_empty() {
                settings.url = EndpointUrl::from_stored(url).expect("a URL");
            }
            let status = if is_enabled {
                EndpointStatus::Enabled
            } else {
                disabled()
            };
            Ok::<_, std::convert::Infallible>(EndpointChange { settings, status })
        };
        let changed =
            endpoints::change(&mut world.conn, &keys, account.tenant, endpoint, change).await;
        changed.expect("changed");
        let found = world.find_endpoint(account, endpoint).await;
        assert_eq!(found.circuit_opened_at, None, "{url:?} {is_enabled}");
        let counts = circuits::count(&mut world.conn).await;
        assert_eq!(counts.ok(), Some(CircuitCounts::default()));
        assert_eq!(world.claim(10).await.len(), usize::from(is_enabled));
    }
}

#[tokio::test]
async fn another_description_leaves_a_circuit_open() {
    let (mut world, account, endpoint) = dead(1).await;
    let keys = world.keys().clone();
    let change = |found: &reprise_core::endpoint::Endpoint| {
        let mut settings = found.settings.clone();
        settings.description = Some("another".to_owned());
        let status = EndpointStatus::Enabled;
        Ok::<_, std::convert::Infallible>(EndpointChange { settings, status })
    };
    let changed = endpoints::change(&mut world.conn, &keys, account.tenant, endpoint, change).await;
    changed.expect("changed");
    let found = world.find_endpoint(account, endpoint).await;
    assert!(found.circuit_opened_at.is_some());
}

#[tokio::test]
async fn circuits_are_counted_by_their_state() {
    let (mut world, account, endpoint) = dead(1).await;
    let key = (account.tenant, endpoint);
    let mut counts = Vec::new();
    counts.push(circuits::count(&mut world.conn).await.expect("counted"));
    pass_pause(&mut world).await;
    counts.push(circuits::count(&mut world.conn).await.expect("counted"));
    let closing = circuits::begin_to_close(&mut world.conn, key).await;
    assert_eq!(closing.ok(), Some(true));
    counts.push(circuits::count(&mut world.conn).await.expect("counted"));
    let counts = counts
        .iter()
        .map(|one| (one.open, one.half_open, one.closing));
    assert_eq!(
        counts.collect::<Vec<_>>(),
        [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    );
}

#[tokio::test]
async fn who_knows_an_endpoint_finds_out_that_its_circuit_has_opened() {
    let (mut world, account, endpoint) = failing(1).await;
    let other = world.endpoint(account).await;
    let both = [(account.tenant, endpoint), (account.tenant, other)];
    let limited = find_limited(&mut world.conn, &both).await;
    assert_eq!(limited.expect("asked"), []);
    assert!(open(&mut world, account, endpoint).await);
    let limited = find_limited(&mut world.conn, &both).await;
    assert_eq!(limited.expect("asked"), [(account.tenant, endpoint)]);
}
