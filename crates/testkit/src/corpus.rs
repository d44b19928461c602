//! The inputs of the fuzz targets that were kept, as ordinary tests.

use crate::repository;

/// Runs a check over each file of a target's corpus in `fuzz/`.
///
/// # Panics
///
/// When the check does, and when there is no such corpus, or nothing in it.
pub fn run(target: &str, check: impl Fn(&[u8])) {
    let folder = repository::root().join("fuzz/corpus").join(target);
    let files = std::fs::read_dir(folder).expect("a corpus");
    let mut count = 0;
    for file in files {
        let path = file.expect("listed").path();
        check(&std::fs::read(path).expect("readable"));
        count += 1;
    }
    assert!(count > 0, "an empty corpus");
}
