//! Why there is no connection: the pool tries again and again and tells its callers only that they waited in vain.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bb8::ErrorSink;
use diesel_async::pooled_connection::PoolError;

/// How long a fault says something about now. Longer, and a pool that is merely full blames an outage that is over;
/// shorter, and a host that takes its time to fail has not failed yet.
const SAYS_SOMETHING_FOR: Duration = Duration::from_secs(10);

/// The last thing that went wrong when the pool connected.
#[derive(Clone, Debug, Default)]
pub(super) struct LastFault {
    fault: Arc<Mutex<Option<(Instant, String)>>>,
}

impl LastFault {
    /// What it was, if it was a moment ago.
    pub(super) fn of_late(&self) -> Option<String> {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, cause) = fault.as_ref()?;
        (at.elapsed() < SAYS_SOMETHING_FOR).then(|| cause.clone())
    }
}

impl ErrorSink<PoolError> for LastFault {
    fn sink(&self, error: PoolError) {
        let cause = match error {
            PoolError::ConnectionError(error) => error.to_string(),
            PoolError::QueryError(error) => error.to_string(),
        };
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), cause));
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<PoolError>> {
        Box::new(self.clone())
    }
}
