//! Where things are in the repository.

use std::path::{Path, PathBuf};

/// The folder that holds `Cargo.lock`, `migrations` and `scripts`.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the testkit lies in crates/testkit of the repository")
        .to_owned()
}
