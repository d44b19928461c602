use reprise_core::attempt::{Attempt, AttemptError};
use reprise_core::attempt_outcome::{ErrorKind, FailureKind};
use reprise_core::ids::{AttemptId, DeliveryId, EventId, LeaseToken};
use reprise_core::retry::Decision;

use super::*;

const RULES: CircuitRules = CircuitRules {
    failures: 3,
    failing_for: Duration::from_mins(1),
    first_pause: Duration::from_secs(30),
    max_pause: Duration::from_mins(5),
};
const SEEN: SeenCircuit = SeenCircuit {
    openings: 2,
    is_closing: false,
};

fn circuits() -> Circuits {
    Circuits::new(RULES, Arc::new(Metrics::new()))
}

/// An attempt at an endpoint, with this failure if there is one.
pub(crate) fn attempt(
    (tenant_id, endpoint_id): Key,
    failure: Option<FailureKind>,
) -> FinishedAttempt {
    FinishedAttempt {
        tenant_id,
        delivery_id: DeliveryId::new(),
        endpoint_id,
        endpoint_version: 7,
        lease_token: LeaseToken(EventId::new().as_uuid()),
        is_express: false,
        attempt: Attempt {
            id: AttemptId::new(),
            number: 1,
            started_at: OffsetDateTime::now_utc(),
            duration: Some(Duration::ZERO),
            request_headers: Vec::new(),
            response: None,
            error: failure.map(|kind| AttemptError {
                kind: ErrorKind::Failure(kind),
                message: String::new(),
            }),
            remote_ip: None,
        },
        decision: Decision::Delivered,
    }
}

fn key() -> Key {
    (TenantId::new(), EndpointId::new())
}

/// What follows from one attempt.
fn judge(
    circuits: &Circuits,
    key: Key,
    failure: Option<FailureKind>,
    is_limited: bool,
    now: Instant,
) -> Option<Change> {
    let finished = attempt(key, failure);
    let mut changes = circuits.judge([(&finished, is_limited)].into_iter(), now);
    changes.pop().map(|(_, change)| change)
}

const DEAD: Option<FailureKind> = Some(FailureKind::Connect);

#[test]
fn a_circuit_opens_once_after_failures_with_nothing_else_between_them() {
    let (circuits, key, start) = (circuits(), key(), Instant::now());
    let later = start + RULES.failing_for;
    let fail = |key, now| judge(&circuits, key, DEAD, false, now);
    assert_eq!([fail(key, start), fail(key, start)], [None, None]);
    assert_eq!(fail(key, later), Some(Change::Open { version: 7 }));
    assert_eq!(fail(key, later), None, "the next run begins");
}

#[test]
fn an_answer_ends_a_run_of_failures() {
    let (circuits, key, start) = (circuits(), key(), Instant::now());
    let fail = |now| judge(&circuits, key, DEAD, false, now);
    assert_eq!([fail(start), fail(start)], [None, None]);
    assert_eq!(judge(&circuits, key, None, false, start), None);
    assert_eq!(
        fail(start + RULES.failing_for),
        None,
        "it would be the third"
    );
}

#[test]
fn a_failure_of_an_attempt_under_a_circuit_opens_it_again_and_an_answer_closes_it() {
    let (circuits, key, now) = (circuits(), key(), Instant::now());
    circuits.note([key].into_iter(), &HashMap::from([(key, SEEN)]));
    let before_it_opened = judge(&circuits, key, DEAD, false, now);
    assert_eq!(before_it_opened, None);
    let probe = judge(&circuits, key, DEAD, true, now);
    assert_eq!(probe, Some(Change::Reopen { openings: 2 }));
    let answer = judge(&circuits, key, None, false, now);
    assert_eq!(answer, Some(Change::BeginToClose));
    assert_eq!(judge(&circuits, key, None, true, now), None, "once");
}

#[test]
fn a_circuit_that_is_closing_opens_after_some_failures_in_a_row_only() {
    let (circuits, key, now) = (circuits(), key(), Instant::now());
    let closing = SeenCircuit {
        is_closing: true,
        ..SEEN
    };
    circuits.note([key].into_iter(), &HashMap::from([(key, closing)]));
    for _ in 1..FAILURES_WHILE_CLOSING {
        assert_eq!(judge(&circuits, key, DEAD, true, now), None);
    }
    assert_eq!(judge(&circuits, key, None, true, now), None);
    for _ in 1..FAILURES_WHILE_CLOSING {
        assert_eq!(judge(&circuits, key, DEAD, true, now), None);
    }
    circuits.note([key].into_iter(), &HashMap::from([(key, closing)]));
    let again = judge(&circuits, key, DEAD, true, now);
    assert_eq!(again, Some(Change::Reopen { openings: 2 }));
}

#[test]
fn of_many_failures_that_end_together_one_change_follows() {
    let (circuits, key, now) = (circuits(), key(), Instant::now());
    circuits.note([key].into_iter(), &HashMap::from([(key, SEEN)]));
    let ended: Vec<_> = (0..10).map(|_| attempt(key, DEAD)).collect();
    let changes = circuits.judge(ended.iter().map(|one| (one, true)), now);
    assert_eq!(changes, [(key, Change::Reopen { openings: 2 })]);
}

#[test]
fn an_endpoint_that_is_claimed_for_without_a_limit_again_has_a_closed_circuit() {
    let (circuits, key, now) = (circuits(), key(), Instant::now());
    circuits.note([key].into_iter(), &HashMap::from([(key, SEEN)]));
    let mut later = attempt(key, DEAD);
    later.attempt.started_at += 2 * BEGIN_WITHIN;
    circuits.judge([(&later, false)].into_iter(), now);
    assert!(circuits.books().seen.is_empty());
    circuits.note([key].into_iter(), &HashMap::from([(key, SEEN)]));
    circuits.note([key].into_iter(), &HashMap::new());
    assert!(circuits.books().seen.is_empty(), "or it is told");
}

#[test]
fn what_is_not_the_receivers_fault_says_nothing() {
    let (circuits, key, start) = (circuits(), key(), Instant::now());
    let refused = Some(FailureKind::AddressRefused);
    for _ in 0..10 {
        assert_eq!(judge(&circuits, key, refused, false, start), None);
    }
    assert!(circuits.books().failing.is_empty());
}

#[test]
fn circuits_open_however_many_endpoints_fail_in_turn() {
    let (circuits, start) = (circuits(), Instant::now());
    let tenant_id = TenantId::new();
    // As many as a tenant may have, and one that is another tenant's.
    let mut endpoints: Vec<Key> = (0..10_000)
        .map(|_| (tenant_id, EndpointId::new()))
        .collect();
    endpoints.push(key());
    let fail_all = |now| {
        let ended: Vec<_> = endpoints.iter().map(|key| attempt(*key, DEAD)).collect();
        circuits
            .judge(ended.iter().map(|one| (one, false)), now)
            .len()
    };
    assert_eq!([fail_all(start), fail_all(start)], [0, 0]);
    assert_eq!(fail_all(start + RULES.failing_for), endpoints.len());
}

#[test]
fn what_was_seen_of_circuits_is_remembered_however_many_there_are() {
    let (circuits, now) = (circuits(), Instant::now());
    let endpoints: Vec<Key> = (0..10_001).map(|_| key()).collect();
    let seen = endpoints.iter().map(|key| (*key, SEEN)).collect();
    circuits.note(endpoints.iter().copied(), &seen);
    let probed = endpoints
        .iter()
        .filter(|key| judge(&circuits, **key, DEAD, true, now).is_some());
    assert_eq!(probed.count(), endpoints.len());
}
