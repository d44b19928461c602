//! What no foreign key ensures: every row of the history and the queue refers to rows that are there, of the same
//! tenant.

use std::time::Duration;

use reprise_core::event_type::EventType;
use reprise_core::store::replays::{self, ReplayOrder, Urgency};
use reprise_core::store::{direct_events, lost, recording};
use reprise_testkit::sql::ORPHANS;

use crate::attempts::{delivered, failed, gone, retried};
use crate::world::{World, event};

#[tokio::test]
async fn every_row_refers_to_rows_that_are_there_whatever_was_done() {
    let mut world = World::create().await;
    for _ in 0..2 {
        let account = world.account().await;
        let endpoint = world.endpoint(account).await;
        world.endpoint(account).await;
        for _ in 0..4 {
            world.publish(account, &event(b"{}")).await;
        }
        let challenge = EventType::challenge();
        direct_events::insert(&mut world.conn, account.tenant, endpoint, challenge, b"{}")
            .await
            .expect("stored");
        world.claim_express(1).await;
        let claims = world.claim(7).await;
        let ends = [
            delivered(&claims[0]),
            failed(&claims[1]),
            retried(&claims[2], Duration::from_secs(60)),
            retried(&claims[3], Duration::ZERO),
        ];
        recording::record(&mut world.conn, world.dispatcher, &ends)
            .await
            .expect("recorded");
        recording::record(&mut world.conn, world.dispatcher, &[gone(&claims[4])])
            .await
            .expect("recorded");
        world.expire_leases().await;
        lost::take_over_expired(&mut world.conn, 10)
            .await
            .expect("taken over");
        let order = ReplayOrder {
            delivery_id: claims[0].delivery_id,
            endpoint_id: None,
            urgency: Urgency::Normal,
        };
        replays::make(&mut world.conn, account.tenant, &order)
            .await
            .expect("no error");
    }
    for table in ["events", "deliveries", "attempts", "delivery_queue"] {
        let rows = world.number(&format!("SELECT count(*) FROM {table}")).await;
        assert!(rows > 5, "{rows} {table}");
    }
    let orphans = world.texts(ORPHANS).await;
    assert!(orphans.is_empty(), "{orphans:?}");
}
