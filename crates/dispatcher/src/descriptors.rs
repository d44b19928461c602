//! File descriptors: each connection to a receiver takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Raises the soft limit to the hard one. Shells and service managers often start programs with 1,024, which a thousand
/// receivers with kept-alive connections use up; what fails then looks like the receivers' fault.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "Could not raise the limit of open files");
    }
}
