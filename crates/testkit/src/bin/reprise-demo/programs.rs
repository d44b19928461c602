//! The API and the dispatcher as child processes that write to log files.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Error, Result, anyhow, ensure};
use reprise_testkit::process::binary;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::{arguments::Arguments, ports::Ports};

/// A program that has not ended by then is killed; twice the drain timeout that the demo sets.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a log is shown when its program has died: enough for a panic or a chain of causes.
const LAST_LINES: usize = 15;

/// Brings the database to the newest schema with `reprise-api migrate`.
pub(crate) async fn migrate(database_url: &str) -> Result<()> {
    let output = Command::new(binary("reprise-api"))
        .arg("migrate")
        .env("DATABASE_URL", database_url)
        .kill_on_drop(true)
        .output()
        .await
        .context("running `reprise-api migrate`")?;
    ensure!(
        output.status.success(),
        "`reprise-api migrate` ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Where the API's log goes.
pub(crate) fn api_log(state_dir: &Path) -> PathBuf {
    state_dir.join("api.log")
}

/// Where the dispatcher's log goes.
pub(crate) fn dispatcher_log(state_dir: &Path) -> PathBuf {
    state_dir.join("dispatcher.log")
}

/// The two running programs; killed when dropped.
pub(crate) struct Programs {
    api: Program,
    dispatcher: Program,
}

impl Programs {
    /// Starts both.
    pub(crate) fn start(arguments: &Arguments, ports: Ports, secret_key: &str) -> Result<Self> {
        let environment = [
            ("DATABASE_URL", arguments.database_url.clone()),
            ("REPRISE_SECRET_KEY", secret_key.to_owned()),
            ("REPRISE_LISTEN", ports.api.to_string()),
            ("REPRISE_ADMIN_LISTEN", ports.dispatcher.to_string()),
            // The demo's receiver lives on loopback.
            ("REPRISE_ALLOW_NETWORKS", "127.0.0.0/8".to_owned()),
            ("REPRISE_ALLOW_HTTP", "true".to_owned()),
            ("REPRISE_DRAIN_TIMEOUT", "5s".to_owned()),
        ];
        let state_dir = &arguments.state_dir;
        Ok(Self {
            api: Program::start("reprise-api", &environment, api_log(state_dir))?,
            dispatcher: Program::start(
                "reprise-dispatcher",
                &environment,
                dispatcher_log(state_dir),
            )?,
        })
    }

    /// Waits until one of them ends by itself, and says which and what it wrote last.
    ///
    /// Cancel safety: nothing is lost, the programs can be waited for again.
    pub(crate) async fn death(&mut self) -> Error {
        tokio::select! {
            status = self.api.exited() => self.api.obituary(status),
            status = self.dispatcher.exited() => self.dispatcher.obituary(status),
        }
    }

    /// Adds the last lines of both logs to an error.
    pub(crate) fn with_last_lines(&self, error: &Error) -> Error {
        anyhow!(
            "{error:#}\n\n{}\n\n{}",
            self.api.last_lines(),
            self.dispatcher.last_lines()
        )
    }

    /// Asks both to end and waits for it.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.api.terminate();
        self.dispatcher.terminate();
        let (api, dispatcher) = tokio::join!(self.api.end(), self.dispatcher.end());
        api.and(dispatcher)
    }
}

struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Program {
    fn start(name: &'static str, environment: &[(&str, String)], log: PathBuf) -> Result<Self> {
        let file = File::create(&log).with_context(|| format!("writing {}", log.display()))?;
        let child = Command::new(binary(name))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // Ctrl-C is for the demo, which then stops them in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { name, child, log })
    }

    async fn exited(&mut self) -> ExitStatus {
        self.child.wait().await.expect("a child can be waited for")
    }

    /// Sends SIGTERM, unless it has ended: its number may be another's by now.
    fn terminate(&self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // The only failure is that it has just ended, and that is what is wanted.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    async fn end(&mut self) -> Result<()> {
        let status = tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await;
        if status.is_err() {
            self.child.start_kill()?;
            return Err(anyhow!(
                "{} did not stop within {STOP_TIMEOUT:?} and was killed",
                self.name
            ));
        }
        Ok(())
    }

    fn obituary(&self, status: ExitStatus) -> Error {
        anyhow!("{} ended with {status}\n\n{}", self.name, self.last_lines())
    }

    fn last_lines(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        format!(
            "  {} says last:\n    {}",
            self.log.display(),
            last.join("\n    ")
        )
    }
}
