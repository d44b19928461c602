//! Transactions that meet at the same rows wait for each other in one direction only.
//!
//! PostgreSQL ends a circle by failing one of its transactions, which is what these tests would see.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use reprise_core::endpoint::EndpointStatus;
use reprise_core::ids::DispatcherId;
use reprise_core::store::delivery_queue::Claim;
use reprise_core::store::dispatchers;
use reprise_core::store::recording::{self, FinishedAttempt};
use tokio::task::JoinSet;

use crate::attempts::{delivered, gone, retried};
use crate::world::{World, begin, change_status, commit, disabled};

/// Rounds of a race. Each of the circles that these tests were written for came up within ten.
const ROUNDS: usize = 40;

/// Records all batches at once, each on a connection of its own.
async fn finish_at_once(world: &World, batches: Vec<Vec<FinishedAttempt>>) {
    let mut recorders = JoinSet::new();
    for batch in batches {
        let mut conn = world.connect().await;
        recorders
            .spawn(async move { recording::record(&mut conn, DispatcherId::new(), &batch).await });
    }
    for recorded in recorders.join_all().await {
        recorded.expect("recorded without a deadlock");
    }
}

#[tokio::test]
async fn recorders_that_finish_overlapping_endpoints_at_once_never_wait_in_a_circle() {
    let mut world = World::create().await;
    let account = world.account().await;
    for round in 0..ROUNDS {
        let mut claims: Vec<Claim> = Vec::new();
        for _ in 0..6 {
            let endpoint = world.endpoint(account).await;
            world.enqueue(account, endpoint, 3).await;
        }
        while claims.len() < 18 {
            claims.extend(world.claim(18).await);
        }
        claims.sort_by_key(|claim| (claim.endpoint_id, claim.delivery_id));
        // Three batches over the same endpoints, in different orders, each with another mixture of results.
        let mut batches: Vec<Vec<FinishedAttempt>> = vec![Vec::new(); 3];
        for (index, claim) in claims.iter().enumerate() {
            let (endpoint, batch) = (index / 3, index % 3);
            batches[batch].push(match (endpoint + batch + round) % 3 {
                0 => delivered(claim),
                1 => gone(claim),
                _ => retried(claim, Duration::from_secs(60)),
            });
        }
        batches[1].reverse();
        finish_at_once(&world, batches).await;
        world
            .sql("DELETE FROM delivery_queue; UPDATE endpoints SET status = 'deleted', disabled_reason = NULL")
            .await;
    }
}

/// A recorder that has failed with one endpoint before, and first fails with another now, locks both in their order:
/// the first halves of the two transactions are held apart by hand, so that the circle closes every time.
#[tokio::test]
async fn disabling_an_endpoint_locks_no_endpoint_after_a_later_one() {
    let mut world = World::create().await;
    let account = world.account().await;
    let (low, high) = (world.endpoint(account).await, world.endpoint(account).await);
    assert!(low < high);
    let low_gone = world.claimed(account, low).await;
    let high_fails = world.claimed(account, high).await;
    // The lower one is failing already, so noting its failure has no need of its lock, but disabling it has.
    world
        .sql(&format!(
            "UPDATE endpoints SET failing_since = now() WHERE id = '{low}'"
        ))
        .await;
    let mut holder = world.connect().await;
    holder
        .batch_execute(&format!(
            "BEGIN; SELECT FROM endpoints WHERE id = '{low}' FOR NO KEY UPDATE"
        ))
        .await
        .expect("locked");
    let mut conn = world.connect().await;
    let mut recorder = JoinSet::new();
    recorder.spawn(async move {
        let batch = [
            retried(&high_fails, Duration::from_secs(60)),
            gone(&low_gone),
        ];
        recording::record(&mut conn, DispatcherId::new(), &batch).await
    });
    wait_for_lock(&mut world).await;
    // Whoever holds the lower one may go on to the higher one.
    holder
        .batch_execute(&format!(
            "SELECT FROM endpoints WHERE id = '{high}' FOR NO KEY UPDATE NOWAIT; COMMIT"
        ))
        .await
        .expect("the recorder holds nothing behind what it waits for");
    recorder.join_all().await.remove(0).expect("recorded");
}

/// Waits until some transaction of this database waits for a lock.
pub(crate) async fn wait_for_lock(world: &mut World) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut is_waiting = async || (world.number(waiting).await > 0).then_some(());
    reprise_testkit::polling::poll_until(Duration::from_secs(30), &mut is_waiting)
        .await
        .expect("somebody waits for a lock");
}

#[tokio::test]
async fn disabling_endpoints_and_changing_them_at_once_never_wait_in_a_circle() {
    let mut world = World::create().await;
    let account = world.account().await;
    for _ in 0..ROUNDS {
        let (low, high) = (world.endpoint(account).await, world.endpoint(account).await);
        let claims = [
            world.claimed(account, low).await,
            world.claimed(account, high).await,
        ];
        world
            .sql("UPDATE endpoints SET failing_since = now()")
            .await;
        let mut both = JoinSet::new();
        let (keys, mut conn) = (world.keys().clone(), world.connect().await);
        let tenant = account.tenant;
        both.spawn(async move {
            change_status(&mut conn, &keys, tenant, high, disabled()).await;
            change_status(&mut conn, &keys, tenant, high, EndpointStatus::Deleted).await;
        });
        let mut conn = world.connect().await;
        both.spawn(async move {
            let batch = claims.map(|claim| gone(&claim));
            recording::record(&mut conn, DispatcherId::new(), &batch)
                .await
                .expect("recorded");
        });
        both.join_all().await;
    }
}

/// One that looked silent is recording at the very moment at which a peer ends its leases. Each has rows that the
/// other wants; so ending leases passes over a row that is being recorded.
#[tokio::test]
async fn ending_the_leases_of_a_silent_one_does_not_wait_for_rows_that_are_being_recorded() {
    let mut world = World::create().await;
    let account = world.account().await;
    let endpoint = world.endpoint(account).await;
    world.enqueue(account, endpoint, 2).await;
    let claims = world.claim(2).await;
    dispatchers::beat(&mut world.conn, world.dispatcher, "host")
        .await
        .expect("alive");
    world
        .sql("UPDATE dispatchers SET heartbeat_at = now() - interval '1 minute'")
        .await;
    let mut recorder = world.connect().await;
    begin(&mut recorder).await;
    let finished =
        recording::record(&mut recorder, world.dispatcher, &[delivered(&claims[0])]).await;
    assert_eq!(finished.expect("recorded").len(), 1);
    world
        .conn
        .batch_execute("SET lock_timeout = '5s'")
        .await
        .expect("set");
    let ended = dispatchers::end_leases_of_silent(&mut world.conn, 10).await;
    assert_eq!(ended.ok(), Some(1), "the other one's lease");
    commit(&mut recorder).await;
}
