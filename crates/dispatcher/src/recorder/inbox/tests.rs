use std::time::Instant as RealInstant;

use reprise_core::ids::{DeliveryId, EndpointId, EventId, LeaseToken, TenantId};
use reprise_core::store::delivery_queue::Claim;
use reprise_core::store::leases::UnusedLease;
use reprise_core::store::recording::FinishedAttempt;
use tokio::time::Instant;

use super::*;
use crate::circuits::tests::attempt;
use crate::config::Limits;
use crate::in_flight::tests::claim;
use crate::in_flight::{Capacity, Permit};
use crate::recorder::Outcome;

const PERMITS: usize = 16;

fn ended(outcome: Outcome, permit: Option<Permit>) -> Ended {
    Ended {
        outcome,
        permit,
        at: RealInstant::now(),
    }
}

/// Something for which nobody waits.
fn unused() -> Outcome {
    Outcome::Unused(UnusedLease {
        tenant_id: TenantId::new(),
        delivery_id: DeliveryId::new(),
        lease_token: LeaseToken(EventId::new().as_uuid()),
        wait: Duration::ZERO,
    })
}

/// An attempt that somebody waits for.
fn express() -> Outcome {
    let attempt = attempt((TenantId::new(), EndpointId::new()), None);
    Outcome::Finished(Box::new(FinishedAttempt {
        is_express: true,
        ..attempt
    }))
}

/// How many are gathered, and how long that takes, when these have ended.
async fn gathered(wakeup: &Arc<Wakeup>, all: Vec<Ended>) -> (usize, Duration) {
    let (sender, ended) = mpsc::channel(PERMITS);
    for one in all {
        sender.send(one).await.expect("room");
    }
    let began = Instant::now();
    let gathered = Inbox::new(ended, Arc::clone(wakeup)).gather().await;
    drop(sender);
    (gathered.len(), began.elapsed())
}

fn some(count: usize) -> Vec<Ended> {
    std::iter::repeat_with(|| ended(unused(), None))
        .take(count)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_few_results_wait_for_more_and_a_quarter_of_all_that_can_come_does_not() {
    let wakeup = Arc::default();
    let enough = PERMITS / 4;
    assert_eq!(
        gathered(&wakeup, some(enough - 1)).await,
        (enough - 1, MOMENT * MOMENTS)
    );
    assert_eq!(
        gathered(&wakeup, some(enough)).await,
        (enough, Duration::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn a_result_that_somebody_waits_for_waits_for_nothing() {
    let all = vec![ended(unused(), None), ended(express(), None)];
    let wakeup = Arc::default();
    assert_eq!(gathered(&wakeup, all).await, (2, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_claimer_that_has_no_room_waits_for_a_moment() {
    let wakeup = Arc::<Wakeup>::default();
    wakeup.want_room();
    assert_eq!(gathered(&wakeup, some(1)).await, (1, MOMENT));
    wakeup.has_room();
    assert_eq!(gathered(&wakeup, some(1)).await, (1, MOMENT * MOMENTS));
}

#[tokio::test(start_paused = true)]
async fn the_next_one_of_an_endpoint_with_a_limit_waits_for_a_moment() {
    let wakeup = Arc::default();
    let limits = Limits {
        in_flight: 16,
        per_tenant: 16,
        per_endpoint: 16,
    };
    let mut permit = Capacity::new(limits, Arc::clone(&wakeup))
        .take_permits(1)
        .split_one()
        .expect("one");
    permit.announce_end_of(&Claim {
        is_limited: true,
        ..claim(0)
    });
    let limited = vec![ended(unused(), Some(permit))];
    assert_eq!(gathered(&wakeup, limited).await, (1, MOMENT));
}

#[tokio::test(start_paused = true)]
async fn what_comes_last_is_gathered_and_then_nothing() {
    let (sender, ended) = mpsc::channel(PERMITS);
    sender.send(some(1).remove(0)).await.expect("room");
    drop(sender);
    let mut inbox = Inbox::new(ended, Arc::default());
    let began = Instant::now();
    assert_eq!(inbox.gather().await.len(), 1);
    assert!(inbox.gather().await.is_empty());
    assert_eq!(began.elapsed(), Duration::ZERO);
}
