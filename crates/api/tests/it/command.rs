//! `reprise-api` as a command that ends by itself.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use reprise_testkit::process::binary;
use serde_json::Value;

/// Runs `reprise-api` with exactly these arguments and variables, and waits for its end.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(binary("reprise-api"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("reprise-api can be run")
}

/// The same, with something to read on its standard input.
pub fn run_with_input(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Output {
    let mut child = Command::new(binary("reprise-api"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("reprise-api can be run");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It may have ended without reading.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// What it wrote to its standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it wrote to its standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The JSON that it printed, and nothing else, before it ended well.
#[track_caller]
pub fn json(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        stderr(output)
    );
    serde_json::from_slice(&output.stdout).expect("only JSON is printed")
}
