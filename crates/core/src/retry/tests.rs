use proptest::prelude::*;

use super::*;

const TIMEOUT: AttemptOutcome = AttemptOutcome::Failed(FailureKind::Timeout);

fn answered(status: u16, retry_after: Option<Duration>) -> AttemptOutcome {
    AttemptOutcome::Answered {
        status,
        retry_after,
    }
}

fn delays(seconds: &[u64]) -> RetrySchedule {
    let delays = seconds.iter().copied().map(Duration::from_secs).collect();
    RetrySchedule::Delays(RetryDelays::new(delays).expect("test delays are within bounds"))
}

fn policy(schedule: RetrySchedule, max_retries: Option<u32>) -> RetryPolicy {
    RetryPolicy::new(schedule, max_retries).expect("a test policy is valid")
}

fn any_policy() -> impl Strategy<Value = RetryPolicy> {
    let schedule = prop_oneof![
        Just(RetrySchedule::Default),
        Just(RetrySchedule::Exponential),
        prop::collection::vec(0..=MAX_DELAY.as_secs(), 1..=50).prop_map(|list| delays(&list)),
    ];
    (schedule, prop::option::of(0..=MAX_RETRIES))
        .prop_map(|(schedule, max_retries)| policy(schedule, max_retries))
}

fn any_jitter() -> impl Strategy<Value = Jitter> {
    any::<u32>().prop_map(Jitter::from_random_bits)
}

fn any_outcome() -> impl Strategy<Value = AttemptOutcome> {
    prop_oneof![
        (any::<u16>(), any::<Option<Duration>>()).prop_map(|(status, hint)| answered(status, hint)),
        prop::sample::select(&FailureKind::ALL[..]).prop_map(AttemptOutcome::Failed),
    ]
}

#[test]
fn default_schedule_is_the_contracts() {
    let policy = RetryPolicy::default();
    let seconds: Vec<u64> = (1..=8).map(|n| policy.delay(n).as_secs()).collect();
    assert_eq!(
        seconds,
        [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000, 36_000]
    );
    assert_eq!(policy.max_retries(), 7);
}

#[test]
fn exponential_schedule_lasts_about_three_weeks() {
    let policy = policy(RetrySchedule::Exponential, None);
    assert_eq!(policy.max_retries(), 25);
    let sum: Duration = (1..=25).map(|n| policy.delay(n)).sum();
    assert_eq!(sum, Duration::from_secs(1_763_395));
}

#[test]
fn last_delay_repeats_beyond_the_schedule() {
    let policy = policy(delays(&[1, 2]), Some(4));
    let seconds: Vec<u64> = (1..=4).map(|n| policy.delay(n).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 2, 2]);
}

#[test]
fn empty_list_of_delays_means_no_retries() {
    let policy = policy(delays(&[]), None);
    assert_eq!(
        policy.decide(1, &TIMEOUT, Jitter::NONE),
        Decision::failed(FailReason::AttemptsUsedUp)
    );
    assert_eq!(
        RetryPolicy::new(delays(&[]), Some(1)),
        Err(RetryPolicyError::NoDelays)
    );
}

#[test]
fn policies_out_of_bounds_are_refused() {
    assert_eq!(
        RetryPolicy::new(RetrySchedule::Default, Some(51)),
        Err(RetryPolicyError::TooManyRetries)
    );
    assert_eq!(
        RetryDelays::new(vec![Duration::ZERO; 51]),
        Err(RetryPolicyError::TooManyDelays)
    );
    assert_eq!(
        RetryDelays::new(vec![MAX_DELAY + Duration::from_nanos(1)]),
        Err(RetryPolicyError::DelayTooLong)
    );
}

#[test]
fn gone_and_expired_payloads_fail_at_once() {
    let policy = RetryPolicy::default();
    let expired = AttemptOutcome::Failed(FailureKind::PayloadExpired);
    assert_eq!(
        policy.decide(1, &answered(410, None), Jitter::NONE),
        Decision::failed(FailReason::Gone)
    );
    assert_eq!(
        policy.decide(1, &expired, Jitter::NONE),
        Decision::failed(FailReason::PayloadExpired)
    );
}

#[test]
fn every_other_failure_and_every_other_status_is_retried_by_the_policy() {
    let policy = policy(delays(&[7]), None);
    let retried = Decision::Retry {
        after: Duration::from_secs(7),
    };
    for kind in [
        FailureKind::AddressRefused,
        FailureKind::Dns,
        FailureKind::Connect,
        FailureKind::Tls,
        FailureKind::Timeout,
        FailureKind::Protocol,
        FailureKind::ConnectionLost,
    ] {
        let failed = AttemptOutcome::Failed(kind);
        assert_eq!(policy.decide(1, &failed, Jitter::NONE), retried, "{kind}");
        let last = policy.decide(2, &failed, Jitter::NONE);
        assert_eq!(last, Decision::failed(FailReason::AttemptsUsedUp), "{kind}");
    }
    for status in (100..=999).filter(|status| !matches!(status, 200..=299 | 410)) {
        let decided = policy.decide(1, &answered(status, None), Jitter::NONE);
        assert_eq!(decided, retried, "{status}");
    }
    for status in 200..=299 {
        let decided = policy.decide(1, &answered(status, None), Jitter::NONE);
        assert_eq!(decided, Decision::Delivered, "{status}");
    }
}

#[test]
fn lost_attempt_is_repeated_at_once_but_counts() {
    let policy = policy(delays(&[60]), None);
    let lost = AttemptOutcome::Failed(FailureKind::Lost);
    assert_eq!(
        policy.decide(1, &lost, Jitter::MAX),
        Decision::Retry {
            after: Duration::ZERO
        }
    );
    assert_eq!(
        policy.decide(2, &lost, Jitter::MAX),
        Decision::failed(FailReason::AttemptsUsedUp)
    );
}

#[test]
fn hint_counts_only_with_429_and_503() {
    let policy = policy(delays(&[60]), None);
    let hour = Duration::from_hours(1);
    for (status, after) in [(429, 3_600), (503, 3_600), (500, 60), (302, 60), (404, 60)] {
        assert_eq!(
            policy.decide(1, &answered(status, Some(hour)), Jitter::NONE),
            Decision::Retry {
                after: Duration::from_secs(after)
            },
            "{status}"
        );
    }
}

#[test]
fn those_who_are_told_the_same_moment_do_not_come_back_in_it() {
    let policy = policy(delays(&[60]), None);
    let hour = Duration::from_hours(1);
    let mut moments: Vec<_> = (0..10)
        .map(|tenth| Jitter::from_random_bits(u32::MAX / 10 * tenth))
        .map(
            |jitter| match policy.decide(1, &answered(503, Some(hour)), jitter) {
                Decision::Retry { after } => after,
                Decision::Delivered | Decision::Failed { .. } => Duration::ZERO,
            },
        )
        .collect();
    moments.dedup();
    assert_eq!(moments.len(), 10);
    assert!(moments[0] >= hour && moments[9] < hour + hour / 5);
}

proptest! {
    #[test]
    fn delay_is_lengthened_by_at_most_a_fifth(
        policy in any_policy(),
        attempt_number in 1..=MAX_RETRIES,
        jitter in any_jitter(),
    ) {
        let delay = policy.delay(attempt_number);
        match policy.decide(attempt_number, &TIMEOUT, jitter) {
            Decision::Retry { after } => prop_assert!(delay <= after && after <= delay + delay / 5),
            Decision::Failed { .. } => prop_assert!(attempt_number > policy.max_retries()),
            Decision::Delivered => prop_assert!(false, "a timeout delivers nothing"),
        }
    }

    #[test]
    fn number_of_retries_equals_the_policy(policy in any_policy(), jitter in any_jitter()) {
        let retries = (1..)
            .take_while(|&n| matches!(policy.decide(n, &TIMEOUT, jitter), Decision::Retry { .. }))
            .count();
        prop_assert_eq!(u32::try_from(retries), Ok(policy.max_retries()));
    }

    #[test]
    fn hint_only_ever_delays_and_at_most_a_day(
        policy in any_policy(),
        attempt_number in 1..=MAX_RETRIES,
        hint: Duration,
        jitter in any_jitter(),
    ) {
        let without = policy.decide(attempt_number, &answered(503, None), jitter);
        let with = policy.decide(attempt_number, &answered(503, Some(hint)), jitter);
        if let (Decision::Retry { after: own }, Decision::Retry { after }) = (without, with) {
            prop_assert!(after >= own);
            prop_assert!(after <= own.max(MAX_RETRY_AFTER));
            prop_assert!(after >= hint.min(MAX_RETRY_AFTER));
        } else {
            prop_assert_eq!(without, with);
        }
    }

    #[test]
    fn any_2xx_is_delivered(
        policy in any_policy(),
        attempt_number: u32,
        status in 200_u16..300,
        hint: Option<Duration>,
    ) {
        let decision = policy.decide(attempt_number, &answered(status, hint), Jitter::MAX);
        prop_assert_eq!(decision, Decision::Delivered);
    }

    #[test]
    fn no_input_overflows(
        policy in any_policy(),
        attempt_number: u32,
        outcome in any_outcome(),
        jitter in any_jitter(),
        delay: Duration,
    ) {
        let _ = policy.decide(attempt_number, &outcome, jitter);
        let _ = policy.delay(attempt_number);
        prop_assert!(jitter.lengthen(delay) >= delay);
    }
}
