//! A wall clock that a test sets while a program runs.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/clock/shift.c");

/// The wall clock of those programs that are started with its variables. Their timers and deadlines are those of
/// everybody.
#[derive(Debug)]
pub struct Clock {
    folder: TempDir,
    library: String,
    file: String,
}

impl Clock {
    /// A clock that is right.
    ///
    /// # Panics
    ///
    /// When there is no C compiler to make it with.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| {
            let path = folder.path().join(name);
            path.to_str().expect("a plain path").to_owned()
        };
        let (library, file) = (path("shift.so"), path("seconds"));
        let compiled = Command::new("cc")
            .args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .args([&library, SOURCE])
            .output()
            .expect("cc can be run");
        let said = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "cc: {said}");
        let clock = Self {
            folder,
            library,
            file,
        };
        clock.set(0);
        clock
    }

    /// What a program is to be started with.
    #[must_use]
    pub fn environment(&self) -> [(&str, &str); 2] {
        [
            ("LD_PRELOAD", &self.library),
            ("REPRISE_CLOCK_FILE", &self.file),
        ]
    }

    /// Sets it so many seconds ahead, or back if below zero.
    ///
    /// # Panics
    ///
    /// When its file is gone.
    pub fn set(&self, seconds: i64) {
        // In place: the programs have mapped the file.
        let write = |path: &Path| {
            let mut file = fs::OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)?;
            std::io::Write::write_all(&mut file, &seconds.to_ne_bytes())
        };
        write(&self.folder.path().join("seconds")).expect("the file can be written");
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date_of(clock: &Clock) -> i64 {
        let output = Command::new("date")
            .arg("+%s")
            .envs(clock.environment())
            .output()
            .expect("date can be run");
        let text = String::from_utf8(output.stdout).expect("a number");
        text.trim().parse().expect("a number")
    }

    #[test]
    fn a_program_sees_the_clock_that_it_was_given() {
        let clock = Clock::new();
        let right = date_of(&clock);
        clock.set(3_600);
        assert!((3_600..3_700).contains(&(date_of(&clock) - right)));
        clock.set(-3_600);
        assert!((-3_600..-3_500).contains(&(date_of(&clock) - right)));
    }
}
