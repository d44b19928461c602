//! Asynchronous work on a thread and runtime of its own.
//!
//! Diesel's migration harness needs a multi-thread runtime, and `Drop` has no runtime to wait on;
//! tests mostly run on a current-thread one.

use std::thread;

/// Runs `work` to its end on a new thread with a multi-thread runtime, and waits for it.
///
/// # Panics
///
/// When `work` panics, or when the thread or its runtime cannot be made.
pub(crate) fn block_on<F, T>(work: impl FnOnce() -> F + Send) -> T
where
    F: Future<Output = T>,
    T: Send,
{
    let run = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be built")
            .block_on(work())
    };
    thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
