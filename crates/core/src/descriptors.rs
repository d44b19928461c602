//! File descriptors: each connection takes one, of clients and to receivers.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Raises the soft limit to the hard one. Shells and service managers often start programs with 1,024, which a thousand
/// kept-alive connections use up; what fails then looks like the fault of receivers or clients.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "Could not raise the limit of open files");
    }
}
