//! Claims: what they take, what they leave, and what they read.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use reprise_core::endpoint::EndpointStatus;
use reprise_core::fair_share::{Caps, InFlight};
use reprise_core::ids::DispatcherId;
use reprise_core::store::delivery_queue::{
    self, ClaimRequest, MAX_ENDPOINT_HOPS, MAX_TENANT_HOPS, WalkPosition,
};
use reprise_core::store::replays::{self, ReplayOrder, Urgency};
use reprise_core::store::{StoreError, messages, recording};
use reprise_testkit::claims::claim_fairly;
use tokio::task::JoinSet;

use crate::attempts::delivered;
use crate::world::{MARGIN, TIMEOUT, World, begin, commit, disabled, event, request, settings};

#[tokio::test]
async fn four_that_claim_at_once_get_every_delivery_once() {
    let (mut world, account, _) = World::with_endpoint(settings()).await;
    let mut ids = HashSet::new();
    for _ in 0..4 {
        let endpoint = world.endpoint(account).await;
        ids.extend(world.enqueue(account, endpoint, 100).await);
    }
    let mut claimers = JoinSet::new();
    for _ in 0..4 {
        let mut conn = world.connect().await;
        claimers.spawn(async move {
            let mut got = Vec::new();
            let (in_flight, mut position) = (InFlight::default(), WalkPosition::default());
            let dispatcher = DispatcherId::new();
            // One that finds everything locked by the others comes back for what they leave.
            for _ in 0..100 {
                let request = ClaimRequest {
                    max_rows: 17,
                    ..request(dispatcher, &in_flight)
                };
                let claim = claim_fairly(&mut conn, &request, &position).await;
                assert!(claim.claims.len() <= 17);
                got.extend(claim.claims);
                position = claim.next;
            }
            got
        });
    }
    let got: Vec<_> = claimers.join_all().await.into_iter().flatten().collect();
    assert_eq!(
        got.len(),
        ids.len(),
        "a delivery was claimed twice or never"
    );
    let claimed: HashSet<_> = got.into_iter().map(|claim| claim.delivery_id).collect();
    assert_eq!(claimed, ids);
}

#[tokio::test]
async fn a_claim_takes_no_more_than_it_asks_for() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let second = world.endpoint(account).await;
    world.enqueue(account, endpoint, 20).await;
    world.enqueue(account, second, 20).await;
    for asked in [1, 2, 7] {
        let claims = world.claim(asked).await;
        assert_eq!(i32::try_from(claims.len()), Ok(asked));
    }
    assert_eq!(
        world
            .number("SELECT count(*) FROM delivery_queue WHERE lease_token IS NOT NULL")
            .await,
        10,
        "rows are leased that nobody was told of"
    );
}

#[tokio::test]
async fn an_endpoint_gets_no_more_than_its_cap_less_what_is_in_flight() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let other = world.endpoint(account).await;
    world.enqueue(account, endpoint, 20).await;
    world.enqueue(account, other, 20).await;
    let in_flight = InFlight {
        by_endpoint: HashMap::from([(endpoint, 6)]),
        by_tenant: HashMap::from([(account.tenant, 6)]),
        ..InFlight::default()
    };
    let request = ClaimRequest {
        caps: Caps {
            per_endpoint: 8,
            per_tenant: 1_000,
        },
        ..request(world.dispatcher, &in_flight)
    };
    let claims = world.claim_as(&request).await;
    let of = |id| {
        claims
            .iter()
            .filter(|claim| claim.endpoint_id == id)
            .count()
    };
    assert_eq!((of(endpoint), of(other)), (2, 8));
}

#[tokio::test]
async fn an_endpoint_at_its_cap_is_passed_over() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 3).await;
    for count in [8, 9] {
        let in_flight = InFlight {
            by_endpoint: HashMap::from([(endpoint, count)]),
            by_tenant: HashMap::from([(account.tenant, count)]),
            ..InFlight::default()
        };
        let request = ClaimRequest {
            caps: Caps {
                per_endpoint: 8,
                per_tenant: 1_000,
            },
            ..request(world.dispatcher, &in_flight)
        };
        assert!(world.claim_as(&request).await.is_empty());
    }
}

#[tokio::test]
async fn a_tenant_gets_no_more_than_its_cap_less_what_is_in_flight() {
    let mut world = World::create().await;
    let (busy, idle) = (world.account().await, world.account().await);
    let mut endpoints = Vec::new();
    for account in [busy, idle] {
        for _ in 0..3 {
            let endpoint = world.endpoint(account).await;
            world.enqueue(account, endpoint, 20).await;
            endpoints.push(endpoint);
        }
    }
    let mut in_flight = InFlight {
        by_endpoint: HashMap::new(),
        by_tenant: HashMap::from([(busy.tenant, 6)]),
        ..InFlight::default()
    };
    for endpoint in endpoints {
        in_flight.quick.note(endpoint, Duration::ZERO);
    }
    let request = ClaimRequest {
        caps: Caps {
            per_endpoint: 1_000,
            per_tenant: 10,
        },
        ..request(world.dispatcher, &in_flight)
    };
    let claims = world.claim_as(&request).await;
    let of = |id| claims.iter().filter(|claim| claim.tenant_id == id).count();
    assert_eq!((of(busy.tenant), of(idle.tenant)), (4, 10));
}

#[tokio::test]
async fn walking_on_visits_every_endpoint_of_a_tenant_with_more_than_one_claim_visits() {
    let mut world = World::create().await;
    let account = world.account().await;
    let count = usize::try_from(MAX_ENDPOINT_HOPS).expect("positive") * 2 + 5;
    let mut ids = HashSet::new();
    for _ in 0..count {
        let endpoint = world.endpoint(account).await;
        // More than all the walk takes, so that an endpoint never drops out of it.
        ids.insert(endpoint);
        world.enqueue(account, endpoint, 5).await;
    }
    let mut seen = HashSet::new();
    let mut position = WalkPosition::default();
    let in_flight = InFlight::default();
    let mut claims = 0;
    loop {
        let request = ClaimRequest {
            max_rows: MAX_ENDPOINT_HOPS,
            ..request(world.dispatcher, &in_flight)
        };
        let claim = claim_fairly(&mut world.conn, &request, &position).await;
        claims += 1;
        seen.extend(claim.claims.iter().map(|claim| claim.endpoint_id));
        position = claim.next;
        if position.is_start() {
            break;
        }
        assert!(claims < 10, "the walk does not come round");
    }
    assert_eq!(claims, 3);
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn walking_on_visits_every_tenant_when_there_are_more_than_one_claim_visits() {
    let mut world = World::create().await;
    let count = usize::try_from(MAX_TENANT_HOPS).expect("positive") + 3;
    for _ in 0..count {
        let account = world.account().await;
        let endpoint = world.endpoint(account).await;
        world.enqueue(account, endpoint, 3).await;
    }
    let mut position = WalkPosition::default();
    let in_flight = InFlight::default();
    let mut seen = HashSet::new();
    for is_last in [false, true] {
        let request = ClaimRequest {
            max_rows: MAX_TENANT_HOPS,
            ..request(world.dispatcher, &in_flight)
        };
        let claim = claim_fairly(&mut world.conn, &request, &position).await;
        seen.extend(claim.claims.iter().map(|claim| claim.tenant_id));
        position = claim.next;
        assert_eq!(position.is_start(), is_last);
    }
    assert_eq!(seen.len(), count);
}

#[tokio::test]
async fn endpoints_that_are_known_are_walked_past_and_end_no_walk() {
    let mut world = World::create().await;
    let mut all = Vec::new();
    for _ in 0..3 {
        let account = world.account().await;
        for _ in 0..4 {
            let endpoint = world.endpoint(account).await;
            world.enqueue(account, endpoint, 2).await;
            all.push((account.tenant, endpoint));
        }
    }
    // One that is known and has nothing is no obstacle either.
    let idle = world.account().await;
    let idle_endpoint = world.endpoint(idle).await;
    for known_count in [0, 1, 5, 11, 12] {
        let mut known = all[..known_count].to_vec();
        known.push((idle.tenant, idle_endpoint));
        // Ids are made in order; whoever remembers has them in any.
        known.reverse();
        let walk = delivery_queue::find_ready(&mut world.conn, &WalkPosition::default(), &known)
            .await
            .expect("walked");
        let found: HashSet<_> = walk.found.into_iter().collect();
        assert_eq!(found, all[known_count..].iter().copied().collect());
        assert!(walk.next.is_start());
    }
}

#[tokio::test]
async fn an_endpoint_among_more_known_ones_than_a_walk_passes_is_found_by_a_later_one() {
    let mut world = World::create().await;
    let account = world.account().await;
    let mut known = Vec::new();
    for _ in 0..MAX_ENDPOINT_HOPS + 6 {
        let endpoint = world.endpoint(account).await;
        world.enqueue(account, endpoint, 1).await;
        known.push((account.tenant, endpoint));
    }
    let unknown = known.remove(known.len() - 3);
    known.reverse();
    let (mut found, mut position) = (Vec::new(), WalkPosition::default());
    for is_last in [false, true] {
        let walk = delivery_queue::find_ready(&mut world.conn, &position, &known);
        let walk = walk.await.expect("walked");
        found.extend(walk.found);
        position = walk.next;
        assert_eq!(position.is_start(), is_last);
    }
    assert_eq!(found, [unknown]);
}

#[tokio::test]
async fn a_claim_looks_only_after_the_delivery_that_it_is_told() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let neighbour = world.endpoint(account).await;
    world.enqueue(account, neighbour, 3).await;
    let mut ids = world.enqueue(account, endpoint, 6).await;
    ids.sort_unstable();
    for (after, expected) in [(Some(ids[3]), &ids[4..]), (None, &ids[..4])] {
        let claims = world.claim_remembered(account, endpoint, after).await;
        let mut claimed: Vec<_> = claims.iter().map(|claim| claim.delivery_id).collect();
        claimed.sort_unstable();
        assert_eq!(claimed, expected);
    }
}

#[tokio::test]
async fn one_delivery_is_taken_however_large_it_is() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world
        .enqueue_sized(account, endpoint, &[1_048_576, 1_048_576])
        .await;
    assert_eq!(claimed_within(&mut world, 1).await, 1);
}

#[tokio::test]
async fn payload_bytes_bound_a_claim_up_to_the_row_that_goes_past_them() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue_sized(account, endpoint, &[100; 20]).await;
    assert_eq!(claimed_within(&mut world, 500).await, 5);
    assert_eq!(claimed_within(&mut world, 501).await, 6);
    assert_eq!(claimed_within(&mut world, 0).await, 0);
}

async fn claimed_within(world: &mut World, max_payload_bytes: i64) -> usize {
    let nothing = InFlight::default();
    let request = ClaimRequest {
        max_payload_bytes,
        ..request(world.dispatcher, &nothing)
    };
    world.claim_as(&request).await.len()
}

#[tokio::test]
async fn deliveries_to_an_endpoint_that_is_not_enabled_are_not_claimed() {
    for status in [disabled(), EndpointStatus::Deleted] {
        let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
        let id = world.enqueue(account, endpoint, 2).await[0];
        world
            .sql(&format!(
                "UPDATE delivery_queue SET express = true WHERE delivery_id = '{id}'"
            ))
            .await;
        world.set_status(account, endpoint, status).await;
        let before = world.rows().await;
        assert!(world.claim(10).await.is_empty());
        let remembered = world.claim_remembered(account, endpoint, None).await;
        assert!(remembered.is_empty());
        assert!(world.claim_express(10).await.is_empty());
        assert_eq!(world.rows().await, before);
    }
}

#[tokio::test]
async fn express_deliveries_are_claimed_by_the_express_claim_alone_and_the_oldest_first() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let ids = world.enqueue(account, endpoint, 6).await;
    world
        .sql(&format!(
            "UPDATE delivery_queue SET express = true WHERE delivery_id >= '{}'",
            ids[3]
        ))
        .await;
    let ready: HashSet<_> = world
        .claim(100)
        .await
        .iter()
        .map(|claim| claim.delivery_id)
        .collect();
    assert_eq!(ready, ids[..3].iter().copied().collect());
    for expected in [&ids[3..5], &ids[5..]] {
        let express = world.claim_express(2).await;
        assert!(express.iter().all(|claim| claim.is_express));
        let mut express: Vec<_> = express.iter().map(|claim| claim.delivery_id).collect();
        express.sort_unstable();
        assert_eq!(express, expected);
    }
}

#[tokio::test]
async fn a_claim_that_is_not_committed_leaves_nothing() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 5).await;
    let before = world.rows().await;
    world.conn.batch_execute("BEGIN").await.expect("begun");
    assert_eq!(world.claim(10).await.len(), 5);
    world
        .conn
        .batch_execute("ROLLBACK")
        .await
        .expect("rolled back");
    assert_eq!(world.rows().await, before);
    // The same when the connection breaks off.
    let mut conn = world.connect().await;
    conn.batch_execute("BEGIN").await.expect("begun");
    std::mem::swap(&mut conn, &mut world.conn);
    assert_eq!(world.claim(10).await.len(), 5);
    std::mem::swap(&mut conn, &mut world.conn);
    drop(conn);
    // What a connection held is free once PostgreSQL has noticed that it is gone: this waits for that.
    world.sql("SELECT FROM delivery_queue FOR UPDATE").await;
    assert_eq!(world.rows().await, before);
    assert_eq!(world.claim(10).await.len(), 5);
}

#[tokio::test]
async fn a_claim_changes_the_queue_alone_and_its_delivery_shows_as_delivering() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let mut before = world.rows().await;
    let id = world.enqueue(account, endpoint, 1).await[0];
    let mut queued = world.rows().await;
    assert_eq!(world.claim(1).await.len(), 1);
    let mut claimed = world.rows().await;
    for rows in [&mut before, &mut queued, &mut claimed] {
        rows.remove("delivery_queue");
    }
    assert_eq!(queued, claimed);
    assert_eq!(
        world.delivery(account, id).await.status.as_str(),
        "delivering"
    );
    world.expire_leases().await;
    assert_eq!(world.delivery(account, id).await.status.as_str(), "pending");
}

#[tokio::test]
async fn a_lease_lasts_for_the_endpoints_timeout_and_the_margin() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let ids = world.enqueue(account, endpoint, 2).await;
    world
        .sql(&format!(
            "UPDATE delivery_queue SET express = true WHERE delivery_id = '{}'",
            ids[0]
        ))
        .await;
    world.claim(1).await;
    world.claim_express(1).await;
    let whole = (TIMEOUT + MARGIN).as_secs();
    assert_eq!(
        world
            .number(&format!(
                "SELECT count(*) FROM delivery_queue
                 WHERE abs(extract(epoch FROM due_at - leased_at) - {whole}) < 1"
            ))
            .await,
        2
    );
}

#[tokio::test]
async fn only_the_claims_commit_does_not_wait_for_the_disk() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 2).await;
    world.sql("UPDATE delivery_queue SET express = true WHERE delivery_id = (SELECT max(delivery_id::text)::uuid FROM delivery_queue)").await;
    let before = world.texts("SHOW synchronous_commit").await;
    assert_eq!(world.claim(10).await.len(), 1);
    assert_eq!(world.claim_express(10).await.len(), 1);
    assert_eq!(world.texts("SHOW synchronous_commit").await, before);
}

#[tokio::test]
async fn publishing_and_recording_wait_for_the_disk() {
    const SETTING: &str = "SHOW synchronous_commit";
    let (mut world, account, _) = World::with_endpoint(settings()).await;
    world.sql("SET synchronous_commit = on").await;
    begin(&mut world.conn).await;
    world.publish(account, &event(b"1")).await;
    assert_eq!(world.texts(SETTING).await, ["on"], "published");
    commit(&mut world.conn).await;

    begin(&mut world.conn).await;
    let claim = world.claim(1).await.remove(0);
    assert_eq!(world.texts(SETTING).await, ["off"], "so it shows here");
    commit(&mut world.conn).await;

    begin(&mut world.conn).await;
    recording::record(&mut world.conn, world.dispatcher, &[delivered(&claim)])
        .await
        .expect("recorded");
    assert_eq!(world.texts(SETTING).await, ["on"], "recorded");
    commit(&mut world.conn).await;
}

#[tokio::test]
async fn messages_come_with_their_payloads_and_with_what_they_replay() {
    let (mut world, account, _) = World::with_endpoint(settings()).await;
    let published = event(b"{\"amount\": 1}");
    world.publish(account, &published).await;
    let first = world.claim(1).await.remove(0);
    recording::record(&mut world.conn, world.dispatcher, &[delivered(&first)])
        .await
        .expect("recorded");
    let order = ReplayOrder {
        delivery_id: first.delivery_id,
        endpoint_id: None,
        urgency: Urgency::Normal,
    };
    let replay = replays::make(&mut world.conn, account.tenant, &order)
        .await
        .expect("stored")
        .expect("enabled");
    let second = world.claim(1).await.remove(0);
    assert_eq!(second.delivery_id, replay.id);
    assert_eq!(second.event_id, published.id);
    let messages = messages::load_messages(&mut world.conn, &[first.clone(), second.clone()])
        .await
        .expect("read");
    assert_eq!(messages.len(), 1, "both bring the same event");
    let message = messages[&published.id].as_ref().expect("readable");
    assert_eq!(message.event_type, published.event_type);
    assert_eq!(message.payload, published.payload);
    assert_eq!(first.replay_of, None);
    assert_eq!(second.replay_of, Some(first.delivery_id));
}

#[tokio::test]
async fn a_payload_that_retention_removed_is_left_out() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 2).await;
    let claims = world.claim(2).await;
    let gone = claims[0].event_id;
    world
        .sql(&format!("DELETE FROM events WHERE id = '{gone}'"))
        .await;
    let messages = messages::load_messages(&mut world.conn, &claims)
        .await
        .expect("read");
    let kept: Vec<_> = messages.keys().collect();
    assert_eq!(kept, [&claims[1].event_id]);
}

#[tokio::test]
async fn a_claim_brings_what_is_to_be_sent_of_each_event() {
    let (mut world, account, _) = World::with_endpoint(settings()).await;
    world.endpoint(account).await;
    let events = [event(b"1"), event(b"22"), event(b"333")];
    for event in &events {
        world.publish(account, event).await;
    }
    let [whole, gone, unreadable] = &events;
    world
        .sql(&format!(
            "DELETE FROM events WHERE id = '{}'; UPDATE events SET event_type = 'no type' WHERE id = '{}'",
            gone.id, unreadable.id
        ))
        .await;
    let nothing = InFlight::default();
    let request = request(world.dispatcher, &nothing);
    let taken = claim_fairly(&mut world.conn, &request, &WalkPosition::default()).await;
    assert_eq!(taken.claims.len(), 6, "each to both endpoints");
    assert_eq!(taken.messages.len(), 2);
    let message = taken.messages[&whole.id].as_ref().expect("readable");
    assert_eq!(
        (&message.event_type, &message.payload),
        (&whole.event_type, &whole.payload)
    );
    let error = taken.messages[&unreadable.id]
        .as_ref()
        .expect_err("no type");
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
}

#[tokio::test]
async fn a_retry_is_claimed_once_it_is_due_and_not_before() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 1).await;
    world
        .sql("UPDATE delivery_queue SET due_at = now() + interval '1 hour'")
        .await;
    let promote = delivery_queue::promote_due(&mut world.conn, 10).await;
    assert_eq!(promote.ok(), Some(0));
    assert!(world.claim(1).await.is_empty());
    world
        .sql("UPDATE delivery_queue SET due_at = now() - interval '1 second'")
        .await;
    let promote = delivery_queue::promote_due(&mut world.conn, 10).await;
    assert_eq!(promote.ok(), Some(1));
    assert_eq!(world.claim(1).await.len(), 1);
}

#[tokio::test]
async fn the_queues_depth_tells_what_is_ready_from_what_waits() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 5).await;
    world.claim(2).await;
    let depth = delivery_queue::depth(&mut world.conn)
        .await
        .expect("counted");
    assert_eq!((depth.ready, depth.waiting), (3, 2));
}
