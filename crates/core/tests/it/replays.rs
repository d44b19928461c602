//! Replays: what they share with the original, and when there is none.

use diesel_async::SimpleAsyncConnection;
use reprise_core::delivery::{Delivery, DeliveryStatus, ReplayRefusal, ReplaySource};
use reprise_core::endpoint::EndpointStatus;
use reprise_core::ids::{DeliveryId, EndpointId};
use reprise_core::store::recording;
use reprise_core::store::replays::{self, ReplayOrder, Urgency};

use crate::attempts::{delivered, retried};
use crate::leases::hear;
use crate::world::{Account, World, disabled, event, settings};

fn order(id: DeliveryId, endpoint_id: Option<EndpointId>) -> ReplayOrder {
    ReplayOrder {
        delivery_id: id,
        endpoint_id,
        urgency: Urgency::Normal,
    }
}

async fn source(world: &mut World, account: Account, id: DeliveryId) -> ReplaySource {
    replays::find_source(&mut world.conn, account.tenant, &order(id, None))
        .await
        .expect("readable")
        .expect("there")
}

async fn try_replay(
    world: &mut World,
    account: Account,
    id: DeliveryId,
    urgency: Urgency,
) -> Option<Delivery> {
    let order = ReplayOrder {
        delivery_id: id,
        endpoint_id: None,
        urgency,
    };
    let made = replays::make(&mut world.conn, account.tenant, &order).await;
    made.expect("no error")
}

async fn replay(world: &mut World, account: Account, id: DeliveryId, urgency: Urgency) -> Delivery {
    let made = try_replay(world, account, id, urgency).await;
    made.expect("the rules allow it")
}

/// A delivery that has been delivered.
async fn delivered_one() -> (World, Account, EndpointId, DeliveryId) {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.publish(account, &event(b"{\"a\": 1}")).await;
    let claim = world.claim(1).await.remove(0);
    recording::record(&mut world.conn, world.dispatcher, &[delivered(&claim)])
        .await
        .expect("recorded");
    (world, account, endpoint, claim.delivery_id)
}

#[tokio::test]
async fn a_replay_is_a_new_pending_delivery_of_the_same_event() {
    let (mut world, account, _, id) = delivered_one().await;
    let original = world.delivery(account, id).await;
    let made = replay(&mut world, account, id, Urgency::Normal).await;
    let read = world.delivery(account, made.id).await;
    assert_eq!(
        format!("{made:?}"),
        format!("{read:?}"),
        "what is answered is what is kept"
    );
    assert_ne!(read.id, original.id);
    assert_eq!(read.status, DeliveryStatus::Pending);
    assert_eq!(read.event_id, original.event_id);
    assert_eq!(read.endpoint_id, original.endpoint_id);
    assert_eq!(read.replay_of, Some(id));
    assert_eq!(read.first_delivery_id, id);
    assert_eq!(read.attempt_count, 0);
    let unchanged = world.delivery(account, id).await;
    assert_eq!(format!("{unchanged:?}"), format!("{original:?}"));
    let claims = world.claim(10).await;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].delivery_id, made.id);
    assert_eq!(claims[0].attempt_id, made.attempt_id);
    assert_eq!(claims[0].payload_bytes, 8);
}

#[tokio::test]
async fn a_replay_of_a_replay_names_it_and_shares_its_first_delivery() {
    let (mut world, account, _, first) = delivered_one().await;
    let second = replay(&mut world, account, first, Urgency::Normal).await;
    let claim = world.claim(1).await.remove(0);
    let end = [delivered(&claim)];
    let finished = recording::record(&mut world.conn, world.dispatcher, &end).await;
    finished.expect("recorded");
    let third = replay(&mut world, account, second.id, Urgency::Normal).await;
    let third = world.delivery(account, third.id).await;
    assert_eq!(third.replay_of, Some(second.id));
    assert_eq!(third.first_delivery_id, first);
}

#[tokio::test]
async fn an_endpoint_that_is_disabled_or_deleted_gets_no_replay() {
    for status in [disabled(), EndpointStatus::Deleted] {
        let (mut world, account, endpoint, id) = delivered_one().await;
        world.set_status(account, endpoint, status).await;
        let before = world.rows().await;
        for urgency in [Urgency::Normal, Urgency::Express] {
            assert!(try_replay(&mut world, account, id, urgency).await.is_none());
        }
        assert_eq!(world.rows().await, before);
        let source = source(&mut world, account, id).await;
        assert_eq!(source.check(), Err(ReplayRefusal::EndpointDisabled));
    }
}

#[tokio::test]
async fn a_delivery_of_another_endpoint_or_tenant_is_not_replayed() {
    let (mut world, account, endpoint, id) = delivered_one().await;
    let stranger = world.account().await;
    assert!(
        try_replay(&mut world, stranger, id, Urgency::Normal)
            .await
            .is_none()
    );
    for (endpoint_id, is_its_own) in [(EndpointId::new(), false), (endpoint, true)] {
        let order = ReplayOrder {
            delivery_id: id,
            endpoint_id: Some(endpoint_id),
            urgency: Urgency::Normal,
        };
        let made = replays::make(&mut world.conn, account.tenant, &order).await;
        assert_eq!(made.expect("no error").is_some(), is_its_own);
    }
}

#[tokio::test]
async fn only_an_express_replay_notifies_in_its_commit() {
    let (mut world, account, _, id) = delivered_one().await;
    let mut listener = world.connect().await;
    listener
        .batch_execute("LISTEN reprise_ready; LISTEN reprise_express; LISTEN last")
        .await
        .expect("listening");
    replay(&mut world, account, id, Urgency::Normal).await;
    replay(&mut world, account, id, Urgency::Express).await;
    world.sql("SELECT pg_notify('last', 'last')").await;
    assert_eq!(hear(&mut listener, 2).await, ["", "last"]);
}

#[tokio::test]
async fn an_express_replay_is_claimed_before_what_was_there_first() {
    let (mut world, account, endpoint, id) = delivered_one().await;
    world.enqueue(account, endpoint, 5).await;
    let express = replay(&mut world, account, id, Urgency::Express).await;
    let claims = world.claim_express(5).await;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].delivery_id, express.id);
    assert_eq!(world.claim(10).await.len(), 5);
}

/// Whether the source's rules allow a replay; the statement that makes it must agree.
async fn check(world: &mut World, account: Account, id: DeliveryId) -> Result<(), ReplayRefusal> {
    let checked = source(world, account, id).await.check();
    let made = try_replay(world, account, id, Urgency::Normal).await;
    assert_eq!(made.is_some(), checked.is_ok());
    checked
}

#[tokio::test]
async fn a_replay_is_made_exactly_when_the_rules_of_its_source_allow_it() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 1).await;
    let id = world
        .texts("SELECT delivery_id::text FROM delivery_queue")
        .await;
    let id = DeliveryId::from_uuid(id[0].parse().expect("an id"));
    let refused = Err(ReplayRefusal::NotFinished);
    assert_eq!(check(&mut world, account, id).await, refused, "pending");
    let claim = world.claim(1).await.remove(0);
    let leased = source(&mut world, account, id).await;
    assert_eq!(leased.status, DeliveryStatus::Delivering);
    assert_eq!(check(&mut world, account, id).await, refused, "delivering");
    let retry = retried(&claim, std::time::Duration::ZERO);
    let finished = recording::record(&mut world.conn, world.dispatcher, &[retry]).await;
    finished.expect("recorded");
    assert_eq!(source(&mut world, account, id).await.payload_bytes, Some(2));
    assert_eq!(check(&mut world, account, id).await, Ok(()), "retrying");
    let lease = "UPDATE delivery_queue
                 SET lease_token = gen_random_uuid(), leased_by = gen_random_uuid(), leased_at = now(),
                     due_at = now() + interval '1 hour'
                 WHERE attempt_number = 2";
    world.sql(lease).await;
    assert_eq!(
        check(&mut world, account, id).await,
        refused,
        "delivering again"
    );
    world.expire_leases().await;
    assert_eq!(
        check(&mut world, account, id).await,
        Ok(()),
        "lost, and not yet closed"
    );
    for status in ["failed", "canceled", "skipped"] {
        let end = format!(
            "UPDATE deliveries SET status = '{status}', unsuccessful_status = '{status}', next_retry_at = NULL
             WHERE id = '{id}'"
        );
        world.sql(&end).await;
        assert_eq!(check(&mut world, account, id).await, Ok(()), "{status}");
    }
    world.sql("DELETE FROM events").await;
    let expired = Err(ReplayRefusal::PayloadExpired);
    assert_eq!(check(&mut world, account, id).await, expired);
}

#[tokio::test]
async fn the_first_delivery_decides_for_a_request_whichever_id_names_it() {
    let (mut world, account, endpoint, first) = delivered_one().await;
    let pending = replay(&mut world, account, first, Urgency::Normal).await.id;
    for (endpoint, expected) in [
        (None, Err(ReplayRefusal::NotFinished)),
        (Some(endpoint), Ok(())),
    ] {
        let named = order(pending, endpoint);
        let source = replays::find_source(&mut world.conn, account.tenant, &named).await;
        let checked = source.expect("readable").expect("there").check();
        assert_eq!(checked, expected);
        let made = replays::make(&mut world.conn, account.tenant, &named).await;
        let made = made.expect("no error");
        assert_eq!(made.is_some(), expected.is_ok());
        let origin = made.map(|made| (made.replay_of, made.first_delivery_id));
        assert_eq!(origin, endpoint.map(|_| (Some(pending), first)));
    }
    let unfinished = "UPDATE deliveries SET status = 'pending', unsuccessful_status = NULL, delivered_at = NULL, final_http_status = NULL
                      WHERE replay_of_delivery_id IS NULL;
                      UPDATE deliveries SET status = 'failed', unsuccessful_status = 'failed'
                      WHERE replay_of_delivery_id IS NOT NULL";
    world.sql(unfinished).await;
    for id in [first, pending] {
        let named = order(id, Some(endpoint));
        let source = replays::find_source(&mut world.conn, account.tenant, &named).await;
        let checked = source.expect("readable").expect("there").check();
        assert_eq!(checked, Err(ReplayRefusal::NotFinished));
        let made = replays::make(&mut world.conn, account.tenant, &named).await;
        assert!(made.expect("no error").is_none());
    }
}

#[tokio::test]
async fn a_delivery_of_another_tenant_is_no_source() {
    let (mut world, _, _, id) = delivered_one().await;
    let stranger = world.account().await;
    let found = replays::find_source(&mut world.conn, stranger.tenant, &order(id, None))
        .await
        .expect("readable");
    assert!(found.is_none());
}
