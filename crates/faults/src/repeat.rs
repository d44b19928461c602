//! The same fault again and again, at other moments.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use rand::{RngExt as _, rngs::StdRng};
use reprise_testkit::seed::{Seed, seeds};

/// How often a fault at a random moment is caused: what issue 5 asks for, or enough to see that the test works.
const REPETITIONS: usize = if cfg!(feature = "full") { 20 } else { 2 };
/// Runs at once. They wait for timeouts most of their time; more, and two cores are what they measure.
const AT_ONCE: usize = 4;

/// Runs `work` with one seed after the other, some at once.
///
/// # Panics
///
/// When one of them does; its seed is told.
pub async fn repeat(work: impl AsyncFn(Seed)) {
    let runs = seeds(REPETITIONS).into_iter().map(async |seed| {
        let _told = seed.told_on_panic();
        work(seed).await;
    });
    stream::iter(runs)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>()
        .await;
}

/// A moment between two.
pub fn moment(rng: &mut StdRng, from_ms: u64, to_ms: u64) -> Duration {
    Duration::from_millis(rng.random_range(from_ms..=to_ms))
}
