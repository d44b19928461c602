//! `reprise-api` as a command that ends by itself.

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
