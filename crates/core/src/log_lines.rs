//! Which lines may be logged at all.

use tracing::{Level, Metadata};

/// Whether a line may be logged, whatever `REPRISE_LOG` asks for.
///
/// Of other crates, only what they say at `info` and above. Below it they show what passes through them: tokio-postgres
/// logs each parameter of each statement (payloads, hashes, sealed secrets), HTTP libraries their bytes. Nobody here
/// has read what they write, so this is a list of who may, and not of who may not. It is no directive of the filter,
/// since a more exact one of the operator's (`tokio_postgres::query=debug`) would win over that.
#[must_use]
pub fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || is_ours(metadata.target())
}

fn is_ours(target: &str) -> bool {
    ["reprise_api", "reprise_core", "reprise_dispatcher"]
        .iter()
        .any(|name| {
            let rest = target.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_modules_are_ours_and_no_others() {
        for target in ["reprise_api", "reprise_core::store::pool"] {
            assert!(is_ours(target), "{target}");
        }
        for target in ["tokio_postgres::query", "hyper", "reprise_api_x", "log", ""] {
            assert!(!is_ours(target), "{target}");
        }
    }
}
