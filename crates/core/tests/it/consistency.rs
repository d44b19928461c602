//! What no foreign key ensures: every row of the history and the queue refers to rows that are there, of the same tenant.

use std::time::Duration;

use reprise_core::event_type::EventType;
use reprise_core::store::replays::{self, ReplayOrder, Urgency};
use reprise_core::store::{direct_events, lost, recording};

use crate::attempts::{delivered, failed, gone, retried};
use crate::world::{World, event};

/// Rows that refer to nothing, or to another tenant's. Tables of deliveries refer to endpoints by a foreign key.
const ORPHANS: &str = "
    SELECT 'event without tenant' FROM events e
    WHERE NOT EXISTS (SELECT FROM tenants t WHERE t.id = e.tenant_id)
    UNION ALL SELECT 'delivery without event' FROM deliveries d
    WHERE NOT EXISTS (SELECT FROM events e WHERE (e.tenant_id, e.id) = (d.tenant_id, d.event_id))
    UNION ALL SELECT 'replay without first delivery' FROM deliveries d
    WHERE NOT EXISTS (SELECT FROM deliveries f WHERE (f.tenant_id, f.id) = (d.tenant_id, d.first_delivery_id))
    UNION ALL SELECT 'attempt without delivery' FROM attempts a
    WHERE NOT EXISTS (SELECT FROM deliveries d WHERE (d.tenant_id, d.id) = (a.tenant_id, a.delivery_id))
    UNION ALL SELECT 'queue row that is not as its delivery' FROM delivery_queue q
    WHERE NOT EXISTS (
        SELECT FROM deliveries d
        WHERE (d.tenant_id, d.id, d.endpoint_id, d.event_id, d.attempt_id)
            = (q.tenant_id, q.delivery_id, q.endpoint_id, q.event_id, q.attempt_id)
          AND d.status IN ('pending', 'retrying'))
    UNION ALL SELECT 'unfinished delivery without queue row' FROM deliveries d
    WHERE d.status IN ('pending', 'retrying')
      AND NOT EXISTS (SELECT FROM delivery_queue q WHERE (q.tenant_id, q.delivery_id) = (d.tenant_id, d.id))";

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
