//! A PostgreSQL server of a test's own, for tests that take it away and bring it back.

mod processes;

use std::{
    env, fs,
    os::unix::fs::{MetadataExt as _, chown},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use uuid::Uuid;

use crate::{database::migrate, disk::SmallDisk, repository, sql::Sql};

/// A migrated throw-away PostgreSQL server, stopped and removed when dropped.
///
/// Its methods block the calling thread for the second or so that PostgreSQL needs; a test that
/// must go on meanwhile uses the multi-thread runtime.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    url: String,
    /// What the server is started with besides, as `-c name=value`.
    options: String,
}

impl Cluster {
    /// Starts a new server on a free port and migrates its database.
    ///
    /// # Panics
    ///
    /// When `scripts/postgres` cannot start it.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// [`Cluster::start`] with settings of the server, such as `("max_connections", "20")`.
    ///
    /// # Panics
    ///
    /// When `scripts/postgres` cannot start it.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_in(new_folder(), settings).await
    }

    /// The same, with all of its data on a disk of its own.
    ///
    /// # Panics
    ///
    /// When `scripts/postgres` cannot start it.
    pub async fn start_on(disk: &SmallDisk, settings: &[(&str, &str)]) -> Self {
        Self::start_in(disk.path().join("cluster"), settings).await
    }

    async fn start_in(folder: PathBuf, settings: &[(&str, &str)]) -> Self {
        let options: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("-c {name}={value}"))
            .collect();
        let mut cluster = Self {
            folder,
            url: String::new(),
            options: options.join(" "),
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

    /// Lets hosts of a network connect, such as `198.51.100.0/24`: a new server knows loopback only. It has to listen
    /// there, too (`listen_addresses`).
    ///
    /// # Panics
    ///
    /// When PostgreSQL refuses.
    pub async fn admit(&self, network: &str) {
        let admitted = ["127.0.0.1/32", network]
            .map(|network| format!("('host all all {network} scram-sha-256')"))
            .join(", ");
        let statements = format!(
            "DO $$ BEGIN EXECUTE format(
                 $copy$COPY (VALUES {admitted}) TO %L$copy$, current_setting('hba_file'));
             END $$;
             SELECT pg_reload_conf()"
        );
        Sql::at(&self.url).execute(&statements).await;
    }

    /// Moves all tables and indexes to a tablespace on a disk; the log of changes stays where it is.
    ///
    /// # Panics
    ///
    /// When PostgreSQL refuses.
    pub async fn move_tables_to(&self, disk: &SmallDisk) {
        let place = disk.path().join("tables");
        fs::create_dir(&place).expect("the disk is empty");
        // PostgreSQL takes a folder of its own user's only.
        let owner = fs::metadata(self.state().join("data")).expect("it has data");
        chown(&place, Some(owner.uid()), Some(owner.gid())).expect("root may");
        let place = place.to_str().expect("a plain path");
        let sql = Sql::at(&self.url);
        sql.execute(&format!("CREATE TABLESPACE small LOCATION '{place}'"))
            .await;
        for kind in ["TABLE", "INDEX"] {
            let all = format!("ALTER {kind} ALL IN TABLESPACE pg_default SET TABLESPACE small");
            sql.execute(&all).await;
        }
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

    /// Starts a standby of this server, whose commits wait for it from now on (`synchronous_standby_names`). This
    /// server is restarted for it.
    ///
    /// # Panics
    ///
    /// When `scripts/postgres` fails, or the standby does not follow.
    pub async fn start_standby(&mut self) -> Self {
        self.stop();
        let mut standby = Self {
            folder: new_folder(),
            url: String::new(),
            options: self.options.clone(),
        };
        let primary = self.folder.to_str().expect("a plain path");
        standby.must("standby", &[primary]);
        self.restart();
        standby.restart();
        let sql = Sql::at(&self.url);
        sql.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            .await;
        sql.execute("SELECT pg_reload_conf()").await;
        let following = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        sql.wait_for(following, 1, Duration::from_secs(30)).await;
        standby
    }

    /// Makes this standby a primary.
    ///
    /// # Panics
    ///
    /// When `scripts/postgres` fails.
    pub fn promote(&self) {
        self.must("promote", &[]);
    }

    /// The URL of this server and another one: whichever takes writes.
    ///
    /// # Panics
    ///
    /// Never: `scripts/postgres` prints URLs with a password and a database.
    #[must_use]
    pub fn url_with(&self, other: &Self) -> String {
        let parts = |url: &str| {
            let (before, rest) = url.split_once('@').expect("a password");
            let (host, database) = rest.split_once('/').expect("a database");
            [before, host, database].map(str::to_owned)
        };
        let [before, host, database] = parts(&self.url);
        let [_, other_host, _] = parts(&other.url);
        format!("{before}@{host},{other_host}/{database}?target_session_attrs=read-write")
    }

    /// Freezes the server with all of its processes: it takes connections and statements, as far as the kernel does
    /// that for it, and answers nothing.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn freeze(&self) {
        processes::freeze(self.postmaster());
    }

    /// Lets the frozen server go on.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn thaw(&self) {
        processes::thaw(self.postmaster());
    }

    /// The server's first process.
    fn postmaster(&self) -> u32 {
        let path = self.state().join("data/postmaster.pid");
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let pid = text.lines().next().and_then(|line| line.parse().ok());
        pid.expect("the first line is a process id")
    }

    /// The folder that `scripts/postgres` keeps it in.
    fn state(&self) -> PathBuf {
        let moved_to = fs::read_to_string(self.folder.join("moved-to"));
        moved_to.map_or_else(|_| self.folder.clone(), |path| path.trim().into())
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
            .env("REPRISE_PG_OPTIONS", &self.options)
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

/// Not a `TempDir`: the script makes the folder itself, for the user that PostgreSQL runs as.
fn new_folder() -> PathBuf {
    env::temp_dir().join(format!("reprise-cluster-{}", Uuid::new_v4().simple()))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A frozen one would not hear that it is to stop.
        if let Ok(true) = fs::exists(self.folder.join("data/postmaster.pid")) {
            self.thaw();
        }
        // It may be stopped already; what counts is that nothing runs and nothing is left.
        let stopped = self.script("stop", &["--immediate"]);
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("a test's cluster stays behind: {error} (stop: {stopped:?})");
        }
    }
}
