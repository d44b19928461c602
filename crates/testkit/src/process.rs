//! The project's real programs as child processes.

mod kept_output;
mod output;

use std::{
    env, io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::process::{Child, Command};

use self::output::Output;
use crate::{network::Host, polling};

/// The path of one of the project's programs, next to the running executable.
///
/// # Panics
///
/// When it has not been built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let executable = env::current_exe().expect("the running executable has a path");
    let path = executable
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .expect("an executable lies in a folder")
        .join(name);
    assert!(
        path.exists(),
        "{} does not exist: run `cargo build --workspace` first",
        path.display()
    );
    path
}

/// A running program. It is killed when dropped; if a test panics, its output is printed. With `REPRISE_TEST_OUTPUT`
/// its output is kept in that folder, for `scripts/test` to look for secrets in.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: Output,
}

impl Process {
    /// Starts the program `name` (see [`binary`]) with arguments and added environment variables.
    ///
    /// # Panics
    ///
    /// When it cannot be started, or outside of a Tokio runtime.
    #[must_use]
    pub fn start(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary(name));
        command.args(arguments);
        Self::spawn(name, command, environment)
    }

    /// [`start`](Self::start) on another host.
    ///
    /// # Panics
    ///
    /// When it cannot be started, or outside of a Tokio runtime.
    #[must_use]
    pub fn start_on(host: &Host, name: &str, environment: &[(&str, &str)]) -> Self {
        let [program, arguments @ ..] = host.entrance();
        let mut command = Command::new(program);
        command.args(arguments).arg(binary(name));
        Self::spawn(name, command, environment)
    }

    fn spawn(name: &str, mut command: Command, environment: &[(&str, &str)]) -> Self {
        let (reader, writer) = io::pipe().expect("a pipe can be made");
        let stderr = writer.try_clone().expect("a pipe can be shared");
        let child = command
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {name}: {error}"));
        Self {
            name: name.to_owned(),
            child,
            output: Output::read_from(reader),
        }
    }

    /// Ends it at once, without a chance to react (SIGKILL).
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Freezes it (SIGSTOP) until [`Process::cont`]; returns when it stands still.
    ///
    /// # Panics
    ///
    /// When the operating system refuses.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        if let Some(pid) = self.pid() {
            // Without waiting, a signal sent next could be seen first. NOWAIT leaves an exit for
            // `exited` to see.
            let event = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(pid), event).expect("a child can be waited for");
        }
    }

    /// Waits until it has frozen itself.
    ///
    /// # Panics
    ///
    /// When it has not after `timeout`.
    pub async fn wait_until_stopped(&self, timeout: Duration) {
        let pid = self.id().expect("it runs");
        let stopped = polling::poll_until(timeout, async || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (_, rest) = stat.rsplit_once(')')?;
            rest.trim_start().starts_with('T').then_some(())
        });
        let stopped = stopped.await;
        assert!(
            stopped.is_some(),
            "{} is not frozen after {timeout:?}",
            self.name
        );
    }

    /// Lets a frozen program go on (SIGCONT).
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    ///
    /// When it still runs after `timeout`.
    pub async fn wait_exit(&mut self, timeout: Duration) -> ExitStatus {
        let exited = polling::wait_for(timeout, self.exited()).await;
        exited.unwrap_or_else(|| panic!("{} still runs after {timeout:?}", self.name))
    }

    /// Waits until it has ended, however long that takes.
    ///
    /// Cancel safety: nothing is lost, it can be waited for again.
    ///
    /// # Panics
    ///
    /// When the operating system refuses.
    pub async fn exited(&mut self) -> ExitStatus {
        self.child.wait().await.expect("a child can be waited for")
    }

    /// Everything it has written so far to its standard output and error, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.output.lines()
    }

    /// Waits for the first line that `find` makes something of.
    ///
    /// # Panics
    ///
    /// When the program ends without such a line, or `timeout` is over.
    pub async fn wait_for_line<T>(&self, find: impl Fn(&str) -> Option<T>, timeout: Duration) -> T {
        self.output
            .wait_for(find, timeout)
            .await
            .unwrap_or_else(|| {
                panic!(
                    "{} did not write the expected line within {timeout:?}:\n{}",
                    self.name,
                    self.lines().join("\n")
                )
            })
    }

    /// Its process id; `None` once its end has been seen, for then the number may be another's.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            kill_process(pid, signal)
                .unwrap_or_else(|error| panic!("sending {signal:?} to {}: {error}", self.name));
        }
    }

    fn pid(&self) -> Option<Pid> {
        let pid = i32::try_from(self.id()?).ok()?;
        Pid::from_raw(pid)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killing first, so that its last words are in the pipe and end there.
        let _ = self.child.start_kill();
        let folder = kept_output::folder();
        if folder.is_some() || std::thread::panicking() {
            self.output.wait_for_end();
        }
        if let Some(folder) = folder {
            kept_output::keep(&folder, &self.name, &self.lines());
        }
        if std::thread::panicking() {
            eprintln!("--- {} wrote:\n{}", self.name, self.lines().join("\n"));
        }
    }
}
