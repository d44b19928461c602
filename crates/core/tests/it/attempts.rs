//! Attempts as the tests make them up, and that they are read as they were recorded.

use std::time::Duration;

use reprise_core::attempt::{Attempt, AttemptError, RecordedResponse};
use reprise_core::attempt_outcome::ErrorKind;
use reprise_core::retry::{Decision, FailReason};
use reprise_core::store::attempts;
use reprise_core::store::delivery_queue::Claim;
use reprise_core::store::recording::{self, FinishedAttempt};
use time::OffsetDateTime;

use crate::world::{World, settings};

/// An attempt under a claim that the receiver answered with this status.
pub(crate) fn answered(claim: &Claim, status: u16) -> Attempt {
    Attempt {
        id: claim.attempt_id,
        number: claim.attempt_number,
        // PostgreSQL keeps microseconds.
        started_at: OffsetDateTime::from_unix_timestamp(1_700_000_000).expect("in range"),
        duration: Some(Duration::from_millis(42)),
        request_headers: vec![("webhook-id".to_owned(), claim.event_id.to_string())],
        response: Some(RecordedResponse {
            status,
            headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
            body: b"\x00 is a byte like any other \xff".to_vec(),
            body_truncated: true,
        }),
        error: (!(200..300).contains(&status)).then(|| AttemptError {
            kind: ErrorKind::HttpStatus,
            message: format!("The receiver answered {status}"),
        }),
        remote_ip: Some("2001:db8::1".parse().expect("an address")),
    }
}

fn finished(claim: &Claim, status: u16, decision: Decision) -> FinishedAttempt {
    FinishedAttempt {
        tenant_id: claim.tenant_id,
        delivery_id: claim.delivery_id,
        endpoint_id: claim.endpoint_id,
        endpoint_version: claim.endpoint_version,
        lease_token: claim.lease_token,
        is_express: claim.is_express,
        attempt: answered(claim, status),
        decision,
    }
}

/// Answered with 200.
pub(crate) fn delivered(claim: &Claim) -> FinishedAttempt {
    finished(claim, 200, Decision::Delivered)
}

/// Answered with 500, to be retried.
pub(crate) fn retried(claim: &Claim, after: Duration) -> FinishedAttempt {
    finished(claim, 500, Decision::Retry { after })
}

/// Answered with 500, and that was the last attempt.
pub(crate) fn failed(claim: &Claim) -> FinishedAttempt {
    let reason = FailReason::AttemptsUsedUp;
    finished(claim, 500, Decision::Failed { reason })
}

/// Answered with 410.
pub(crate) fn gone(claim: &Claim) -> FinishedAttempt {
    let reason = FailReason::Gone;
    finished(claim, 410, Decision::Failed { reason })
}

#[tokio::test]
async fn an_attempt_is_read_as_it_was_recorded() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let claim = world.claimed(account, endpoint).await;
    let none = attempts::list(&mut world.conn, account.tenant, claim.delivery_id).await;
    assert_eq!(none.expect("readable"), Some(Vec::new()), "none has ended");
    let end = retried(&claim, Duration::from_secs(60));
    recording::record(
        &mut world.conn,
        world.dispatcher,
        std::slice::from_ref(&end),
    )
    .await
    .expect("recorded");
    let read = attempts::find(&mut world.conn, account.tenant, claim.attempt_id)
        .await
        .expect("readable");
    assert_eq!(read.as_ref(), Some(&end.attempt));
    let listed = attempts::list(&mut world.conn, account.tenant, claim.delivery_id)
        .await
        .expect("readable");
    assert_eq!(listed, Some(vec![end.attempt]));
}

#[tokio::test]
async fn attempts_of_another_tenant_are_not_found() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let stranger = world.account().await;
    let claim = world.claimed(account, endpoint).await;
    recording::record(&mut world.conn, world.dispatcher, &[delivered(&claim)])
        .await
        .expect("recorded");
    let found = attempts::find(&mut world.conn, stranger.tenant, claim.attempt_id)
        .await
        .expect("readable");
    assert_eq!(found, None);
    let listed = attempts::list(&mut world.conn, stranger.tenant, claim.delivery_id)
        .await
        .expect("readable");
    assert_eq!(listed, None);
}

#[tokio::test]
async fn attempts_are_listed_by_their_numbers_whatever_the_clocks_said_that_made_their_ids() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let first = world.claimed(account, endpoint).await;
    recording::record(
        &mut world.conn,
        world.dispatcher,
        &[retried(&first, Duration::ZERO)],
    )
    .await
    .expect("recorded");
    // By a clock that is a minute behind.
    let earlier = "(left(hex, 8) || '-' || right(hex, 4) || substr(attempt_id::text, 14))::uuid";
    world
        .sql(&format!(
            "UPDATE delivery_queue SET attempt_id = {earlier}
             FROM (SELECT lpad(to_hex(('x' || replace(left(attempt_id::text, 13), '-', ''))::bit(48)::int8 - 60000), 12, '0') AS hex
                   FROM delivery_queue) moved"
        ))
        .await;
    let second = world.claim(1).await.remove(0);
    assert!(second.attempt_id < first.attempt_id);
    recording::record(&mut world.conn, world.dispatcher, &[delivered(&second)])
        .await
        .expect("recorded");
    let listed = attempts::list(&mut world.conn, account.tenant, first.delivery_id)
        .await
        .expect("readable");
    let numbers: Vec<u32> = listed
        .iter()
        .flatten()
        .map(|attempt| attempt.number)
        .collect();
    assert_eq!(numbers, [1, 2]);
}
