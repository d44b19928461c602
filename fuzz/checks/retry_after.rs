//! Whatever a receiver says in `Retry-After`: it only ever delays, and no longer than the bound.

use std::time::Duration;

use reprise_core::attempt_outcome::AttemptOutcome;
use reprise_core::retry::{Decision, Jitter, RetryPolicy};
use reprise_core::retry_after::{MAX_RETRY_AFTER, parse_retry_after};
use time::OffsetDateTime;

pub fn check(data: &[u8]) {
    // The first bytes are the time and the jitter.
    let Some((chosen, value)) = data.split_first_chunk::<5>() else {
        return;
    };
    let [a, b, c, d, jitter] = *chosen;
    let now =
        OffsetDateTime::UNIX_EPOCH + Duration::from_secs(u32::from_be_bytes([a, b, c, d]).into());
    let retry_after = parse_retry_after(value, now);
    assert!(retry_after.is_none_or(|wait| wait <= MAX_RETRY_AFTER));

    let policy = RetryPolicy::default();
    let jitter = Jitter::from_random_bits(u32::from(jitter) << 24);
    let decide = |retry_after| {
        let outcome = AttemptOutcome::Answered {
            status: 503,
            retry_after,
        };
        match policy.decide(1, &outcome, jitter) {
            Decision::Retry { after } => after,
            other @ (Decision::Delivered | Decision::Failed { .. }) => {
                panic!("no retry: {other:?}")
            }
        }
    };
    let (asked, unasked) = (decide(retry_after), decide(None));
    assert!(asked >= unasked && asked >= retry_after.unwrap_or_default());
    assert!(asked <= MAX_RETRY_AFTER.mul_f64(1.2).max(unasked));
}

#[cfg(test)]
#[test]
fn the_corpus_of_retry_after_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/retry_after");
    let files: Vec<_> = std::fs::read_dir(folder).expect("a corpus").collect();
    assert!(!files.is_empty());
    for file in files {
        let path = file.expect("listed").path();
        check(&std::fs::read(path).expect("readable"));
    }
}

#[cfg(test)]
proptest::proptest! {
    #[test]
    fn any_retry_after_only_delays(data: Vec<u8>, seconds: u64) {
        check(&data);
        check(format!("12345{seconds}").as_bytes());
    }
}
