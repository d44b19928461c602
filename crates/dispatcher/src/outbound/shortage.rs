//! Running out of what this machine has: no receiver's doing, so no receiver pays for it with an attempt.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::net::NetError;
use rustix::io::Errno;
use tracing::error;

use super::failure::causes;
use super::guard::ConnectFailure;

/// How often a shortage is logged at most: while it lasts, it meets each request.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// No connection could be made for lack of file descriptors or memory, here. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Shortage(Errno);

impl Shortage {
    /// Looks for one in an error of the HTTP client.
    ///
    /// Only among what is told of connecting: later the request may have been sent. And only what no receiver can bring
    /// about: a lack of local ports (EADDRNOTAVAIL) is none, since a machine without IPv6 says so of every IPv6
    /// address.
    pub(super) fn in_error(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut causes = causes(error).skip_while(|cause| !cause.is::<ConnectFailure>());
        let errno = causes.find_map(errno_of)?;
        let is_ours = matches!(
            errno,
            Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM
        );
        is_ours.then_some(Self(errno))
    }
}

/// What the system said, if this error is its.
fn errno_of(error: &(dyn Error + 'static)) -> Option<Errno> {
    let of_io = |error: &io::Error| Errno::from_io_error(error);
    match error.downcast_ref::<NetError>() {
        Some(NetError::Io(error)) => of_io(error),
        Some(_) => None,
        None => error.downcast_ref::<io::Error>().and_then(of_io),
    }
}

/// Tells the operator of shortages, now and then.
#[derive(Clone, Debug, Default)]
pub(super) struct Warning {
    told_at: Arc<Mutex<Option<Instant>>>,
}

impl Warning {
    pub(super) fn tell(&self, shortage: Shortage) {
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        if told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            *told_at = Some(Instant::now());
            error!("No connections to receivers can be made here, deliveries wait: {shortage}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::guard::BoxError;

    fn io_error(errno: Errno) -> BoxError {
        io::Error::from(errno).into()
    }

    #[test]
    fn only_a_lack_of_files_or_memory_while_connecting_is_a_shortage() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            let unconnected = ConnectFailure::Unconnected(io_error(errno));
            assert_eq!(Shortage::in_error(&unconnected), Some(Shortage(errno)));
            let asked = NetError::Io(Arc::new(io::Error::from(errno)));
            let unresolved = ConnectFailure::Unresolved(Some(asked.into()));
            assert_eq!(Shortage::in_error(&unresolved), Some(Shortage(errno)));
            let sending = io_error(errno);
            assert_eq!(Shortage::in_error(sending.as_ref()), None, "{errno}");
        }
        for errno in [Errno::CONNREFUSED, Errno::ADDRNOTAVAIL, Errno::NETUNREACH] {
            let unconnected = ConnectFailure::Unconnected(io_error(errno));
            assert_eq!(Shortage::in_error(&unconnected), None, "{errno}");
        }
    }
}
