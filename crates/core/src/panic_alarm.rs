//! Noticing that a task has panicked: the runtime catches that, and the rest of the program goes on without it.

use tokio_util::sync::CancellationToken;

/// Tells, when it is dropped by a panic, that a task is gone that the others can't do without. The task holds it.
#[derive(Debug)]
pub struct PanicAlarm(CancellationToken);

impl PanicAlarm {
    /// An alarm that cancels `panicked`.
    #[must_use]
    pub fn new(panicked: &CancellationToken) -> Self {
        Self(panicked.clone())
    }
}

impl Drop for PanicAlarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}
