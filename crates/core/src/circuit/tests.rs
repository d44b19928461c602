use time::OffsetDateTime;

use super::*;
use crate::attempt::{AttemptError, RecordedResponse};
use crate::ids::AttemptId;

const RULES: CircuitRules = CircuitRules {
    failures: 100,
    failing_for: Duration::from_mins(1),
    first_pause: Duration::from_secs(30),
    max_pause: Duration::from_mins(5),
};

fn attempt(status: Option<u16>, kind: Option<ErrorKind>) -> Attempt {
    Attempt {
        id: AttemptId::new(),
        number: 1,
        started_at: OffsetDateTime::now_utc(),
        duration: Some(Duration::ZERO),
        request_headers: Vec::new(),
        response: status.map(|status| RecordedResponse {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            body_truncated: false,
        }),
        error: kind.map(|kind| AttemptError {
            kind,
            message: String::new(),
        }),
        remote_ip: None,
    }
}

/// Counts so many failures at an instant.
fn fail(run: &mut FailureRun, times: u32, took: Duration, now: Instant) {
    for _ in 0..times {
        run.count(took, &RULES, now);
    }
}

#[test]
fn an_answer_says_that_the_receiver_is_alive_unless_it_says_that_nobody_is_there() {
    assert_eq!(Sign::of(&attempt(Some(200), None)), Sign::Alive);
    for status in [301, 400, 404, 410, 429, 500, 501] {
        let answered = attempt(Some(status), Some(ErrorKind::HttpStatus));
        assert_eq!(Sign::of(&answered), Sign::Alive, "{status}");
    }
    for status in [502, 503, 504] {
        let broken = attempt(Some(status), Some(ErrorKind::HttpStatus));
        assert_eq!(Sign::of(&broken), Sign::Dead, "{status}");
    }
}

#[test]
fn only_what_the_receiver_is_to_blame_for_says_that_it_is_dead() {
    let blameless = [
        FailureKind::AddressRefused,
        FailureKind::PayloadExpired,
        FailureKind::Lost,
    ];
    for kind in FailureKind::ALL {
        let failed = attempt(None, Some(ErrorKind::Failure(kind)));
        let expected = if blameless.contains(&kind) {
            Sign::None
        } else {
            Sign::Dead
        };
        assert_eq!(Sign::of(&failed), expected, "{kind}");
    }
    let broken_off = attempt(
        Some(200),
        Some(ErrorKind::Failure(FailureKind::ConnectionLost)),
    );
    assert_eq!(Sign::of(&broken_off), Sign::Dead);
}

#[test]
fn a_receiver_is_dead_after_enough_failures_over_enough_time() {
    let start = Instant::now();
    let mut run = FailureRun::begin(start);
    fail(&mut run, 1_000, Duration::ZERO, start);
    assert!(!RULES.is_dead(&run, start), "a restart looks like this");
    assert!(RULES.is_dead(&run, start + RULES.failing_for));

    let mut run = FailureRun::begin(start);
    fail(&mut run, RULES.failures - 1, Duration::ZERO, start);
    let later = start + RULES.failing_for;
    assert!(!RULES.is_dead(&run, later), "too few");
    fail(&mut run, 1, Duration::ZERO, later);
    assert!(RULES.is_dead(&run, later));
    let never = CircuitRules {
        failures: 0,
        ..RULES
    };
    assert!(!never.is_dead(&run, later));
}

#[test]
fn retries_of_a_few_deliveries_never_add_up() {
    let mut now = Instant::now();
    let mut run = FailureRun::begin(now);
    for _ in 0..1_000 {
        fail(&mut run, RULES.failures / 2, Duration::ZERO, now);
        assert!(!RULES.is_dead(&run, now));
        now += 2 * RULES.failing_for + Duration::from_millis(1);
    }
}

#[test]
fn a_receiver_that_hangs_is_dead_after_fewer_failures() {
    let now = Instant::now();
    let mut run = FailureRun::begin(now);
    fail(&mut run, 15, Duration::from_mins(1), now);
    assert!(RULES.is_dead(&run, now + RULES.failing_for));
    let mut run = FailureRun::begin(now);
    fail(&mut run, 15, Duration::from_secs(1), now);
    assert!(!RULES.is_dead(&run, now + RULES.failing_for));
}

#[test]
fn pauses_double_up_to_the_longest_and_are_only_ever_lengthened() {
    let seconds = |opening, jitter| RULES.pause(opening, jitter).as_secs();
    let plain = [1, 2, 3, 4, 5, 6, u32::MAX].map(|opening| seconds(opening, Jitter::NONE));
    assert_eq!(plain, [30, 60, 120, 240, 300, 300, 300]);
    let longest = [1, 5].map(|opening| seconds(opening, Jitter::MAX));
    assert_eq!(longest, [35, 359], "by just under a fifth");
}
