//! What programs wrote, kept in files: a full test run is looked through for secrets afterwards.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// Where to keep it; `None` where nobody asks for it.
#[expect(
    clippy::disallowed_methods,
    reason = "it is for scripts/test to say, as which database is used"
)]
pub(super) fn folder() -> Option<PathBuf> {
    let folder = env::var_os("REPRISE_TEST_OUTPUT");
    folder.filter(|path| !path.is_empty()).map(OsString::into)
}

/// Keeps the lines of a program in a file of their own.
///
/// # Panics
///
/// When it cannot be written: a run that is missing output would prove nothing.
pub(super) fn keep(folder: &Path, program: &str, lines: &[String]) {
    let program = program.rsplit('/').next().unwrap_or(program);
    let path = folder.join(format!("{program}-{}.log", Uuid::now_v7()));
    let mut text = lines.join("\n");
    text.push('\n');
    let written = File::create(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    if let Err(error) = written {
        // A panic while another one unwinds would abort before that one is reported.
        let message = format!("{}: {error}", path.display());
        assert!(std::thread::panicking(), "{message}");
        eprintln!("{message}");
    }
}
