//! Dead rows of the queue.

use std::time::Duration;

use reprise_core::store::delivery_queue::{dead_rows, vacuum};
use reprise_testkit::polling::poll_until;

use crate::world::{World, settings};

/// Longer than PostgreSQL's statistics take.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn dead_rows_of_the_queue_are_counted_and_removed() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world
        .sql("ALTER TABLE delivery_queue SET (autovacuum_enabled = false)")
        .await;
    world.enqueue(account, endpoint, 200).await;
    world.sql("DELETE FROM delivery_queue").await;
    let counted = poll_until(PATIENCE, async || {
        let dead = dead_rows(&mut world.conn).await.expect("statistics");
        (dead >= 200).then_some(())
    });
    counted.await.expect("they are counted");
    vacuum(&mut world.conn).await.expect("removed");
    let removed = poll_until(PATIENCE, async || {
        let dead = dead_rows(&mut world.conn).await.expect("statistics");
        (dead == 0).then_some(())
    });
    removed.await.expect("none is left");
}
