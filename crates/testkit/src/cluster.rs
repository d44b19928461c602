//! A PostgreSQL server of a test's own, for tests that take it away and bring it back.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use uuid::Uuid;

use crate::{database::migrate, repository};

/// A migrated throw-away PostgreSQL server, stopped and removed when dropped.
///
/// Its methods block the calling thread for the second or so that PostgreSQL needs; a test that
/// must go on meanwhile uses the multi-thread runtime.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    url: String,
}

impl Cluster {
    /// Starts a new server on a free port and migrates its database.
    ///
    /// # Panics
    ///
    /// When `scripts/postgres` cannot start it.
    pub async fn start() -> Self {
        // Not a `TempDir`: the script makes the folder itself, for the user that PostgreSQL runs as.
        let folder = env::temp_dir().join(format!("reprise-cluster-{}", Uuid::new_v4().simple()));
        let mut cluster = Self {
            folder,
            url: String::new(),
        };
        cluster.restart();
        migrate(cluster.url.clone())
            .await
            .unwrap_or_else(|error| panic!("migrating a cluster of a test: {error:#}"));
        cluster
    }

    /// The URL to connect to the server; it stays the same over restarts.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server in order: open transactions roll back, clients are disconnected.
    ///
    /// # Panics
    ///
    /// When `scripts/postgres` fails.
    pub fn stop(&self) {
        self.must("stop", &[]);
    }

    /// Stops the server as a power failure would: it recovers from its log at the next start.
    ///
    /// # Panics
    ///
    /// When `scripts/postgres` fails.
    pub fn stop_immediately(&self) {
        self.must("stop", &["--immediate"]);
    }

    /// Starts the stopped server again, at the same URL.
    ///
    /// # Panics
    ///
    /// When `scripts/postgres` fails, or the server comes back at another URL.
    pub fn restart(&mut self) {
        let url = self.must("start", &["--throwaway"]);
        assert!(
            self.url.is_empty() || self.url == url,
            "the cluster moved from {} to {url}",
            self.url
        );
        self.url = url;
    }

    fn must(&self, action: &str, flags: &[&str]) -> String {
        self.script(action, flags)
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Runs `scripts/postgres` and returns the line it printed.
    fn script(&self, action: &str, flags: &[&str]) -> Result<String> {
        let script = repository::root().join("scripts/postgres");
        let output = Command::new(&script)
            .arg(action)
            .arg(&self.folder)
            .args(flags)
            .output()
            .with_context(|| format!("running {}", script.display()))?;
        ensure!(
            output.status.success(),
            "{} {action} {} ended with {}: {}",
            script.display(),
            self.folder.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr),
        );
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may be stopped already; what counts is that nothing runs and nothing is left.
        let stopped = self.script("stop", &["--immediate"]);
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("a test's cluster stays behind: {error} (stop: {stopped:?})");
        }
    }
}
