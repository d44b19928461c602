//! The same fault again and again, at other moments or places.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rand::{RngExt as _, rngs::StdRng};
use reprise_testkit::seed::{Seed, seeds};

/// How often a fault at a random moment is caused: what issue 5 asks for, or enough to see that the test works.
const REPETITIONS: usize = if cfg!(feature = "full") { 20 } else { 2 };
/// Runs at once, as many as there are steps at which a dispatcher dies. They wait for timeouts most of their time;
/// more, and two cores are what they measure.
const AT_ONCE: usize = 5;

/// Runs `work` with one seed after the other, some at once.
///
/// # Panics
///
/// When one of them does; its seed is told.
pub fn repeat(work: impl AsyncFn(Seed) + Sync) {
    each(&seeds(REPETITIONS), async |seed| {
        let _told = seed.told_on_panic();
        work(*seed).await;
    });
}

/// Runs `work` with each of these, some at once. Each run has a runtime of its own: dropping a database blocks its
/// thread until PostgreSQL has seen all of its sessions, and one whose client waits for that thread it never would.
///
/// # Panics
///
/// When one of them does.
pub fn each<T: Sync>(these: &[T], work: impl AsyncFn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let panics = Mutex::new(Vec::new());
    let run_all = || {
        while let Some(this) = these.get(next.fetch_add(1, Ordering::SeqCst)) {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime can be built");
            let run = std::panic::AssertUnwindSafe(|| runtime.block_on(work(this)));
            if let Err(panic) = std::panic::catch_unwind(run) {
                panics
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(panic);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(these.len()) {
            scope.spawn(run_all);
        }
    });
    let panics = panics.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (failed, all) = (panics.len(), these.len());
    if let Some(first) = panics.into_iter().next() {
        eprintln!("{failed} of {all} runs failed");
        std::panic::resume_unwind(first);
    }
}

/// A moment between two.
pub fn moment(rng: &mut StdRng, from_ms: u64, to_ms: u64) -> Duration {
    Duration::from_millis(rng.random_range(from_ms..=to_ms))
}
