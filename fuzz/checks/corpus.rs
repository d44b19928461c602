//! The inputs that were kept, as an ordinary test.

use std::path::Path;

/// Runs a check over each file of a target's corpus.
pub fn run(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let files = std::fs::read_dir(folder.join(target)).expect("a corpus");
    let mut count = 0;
    for file in files {
        let path = file.expect("listed").path();
        check(&std::fs::read(path).expect("readable"));
        count += 1;
    }
    assert!(count > 0, "an empty corpus");
}
