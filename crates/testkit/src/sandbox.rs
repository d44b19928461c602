//! Tests that cut networks and fill disks, in a network and with mounts that nobody else has: nothing of it reaches the
//! machine, and nothing is left of it, however the test ends.

use std::{
    env,
    process::{Command, Stdio},
    thread,
};

/// Names, in the process that is inside, the case that it is there for.
const INSIDE: &str = "REPRISE_TEST_SANDBOX";

/// Runs the cases of the test `name` (its path, as `--exact` takes it), all at once: each in a process of its own,
/// whose network has nothing but loopback, and whose mounts are its own. `work` runs in there, with a runtime.
///
/// # Panics
///
/// When a case fails, or the operating system does not permit this, which takes root: a test that could not run has not
/// passed.
pub fn run(name: &str, cases: &[&str], work: impl AsyncFnOnce(&str)) {
    if let Some(case) = inside() {
        must("ip", &["link", "set", "lo", "up"]);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(3)
            .enable_all()
            .build()
            .expect("a runtime can be built");
        return runtime.block_on(work(&case));
    }
    let probe = unshare().arg("true").output();
    assert!(
        probe.as_ref().is_ok_and(|output| output.status.success()),
        "NOT RUN: {name} needs a network and mounts of its own, which takes root and `unshare` (util-linux): {probe:?}. \
         Run it as root, or leave it out with `--skip {name}`."
    );
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || run_case(name, case));
        }
    });
}

/// Panics, which the scope of the caller passes on, when the case fails.
fn run_case(name: &str, case: &str) {
    let output = unshare()
        .arg(env::current_exe().expect("the running executable has a path"))
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, case)
        .stderr(Stdio::inherit())
        .output()
        .expect("unshare could be run just now");
    let told = String::from_utf8_lossy(&output.stdout);
    // A name that is no test's would pass with nothing run.
    let has_passed = told.contains("1 passed");
    assert!(has_passed, "{name}, {case}: {}, {told}", output.status);
}

/// Whether this process is inside a sandbox, whose network and mounts may be changed.
pub(crate) fn is_inside() -> bool {
    inside().is_some()
}

/// Runs a program of the operating system to its end.
///
/// # Panics
///
/// When it fails.
pub(crate) fn must(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A command that runs another one in there.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--propagation", "private", "--"]);
    command
}

#[expect(
    clippy::disallowed_methods,
    reason = "the testkit has no configuration"
)]
fn inside() -> Option<String> {
    env::var(INSIDE).ok()
}
