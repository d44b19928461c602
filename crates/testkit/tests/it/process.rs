//! Child processes: found, heard, signalled.

use std::{os::unix::process::ExitStatusExt, time::Duration};

use reprise_testkit::process::Process;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn program_of_the_project_is_found_and_heard() {
    let mut process = Process::start("reprise-demo", &["--help"], &[]);
    let usage = |line: &str| line.contains("--once").then_some(());
    process.wait_for_line(usage, SOON).await;
    assert!(process.wait_exit(SOON).await.success());
}

#[tokio::test]
async fn environment_reaches_the_program_and_both_streams_are_kept() {
    let script = "echo $GREETING; echo $GREETING again >&2";
    let mut process = Process::start("/bin/sh", &["-c", script], &[("GREETING", "hello")]);
    process.wait_exit(SOON).await;
    process
        .wait_for_line(|line| (line == "hello again").then_some(()), SOON)
        .await;
    assert_eq!(process.lines(), ["hello", "hello again"]);
}

#[tokio::test]
async fn frozen_program_does_nothing_until_it_goes_on() {
    let mut process = Process::start("/bin/sleep", &["600"], &[]);
    process.stop();
    process.terminate();
    let frozen = tokio::time::timeout(Duration::from_millis(50), process.exited()).await;
    assert!(frozen.is_err(), "it ended although it was frozen");
    process.cont();
    process.wait_exit(SOON).await;
}

#[tokio::test]
async fn kill_and_terminate_send_their_signals() {
    let mut killed = Process::start("/bin/sleep", &["600"], &[]);
    killed.kill();
    assert_eq!(killed.wait_exit(SOON).await.signal(), Some(9));
    let mut terminated = Process::start("/bin/sleep", &["600"], &[]);
    terminated.terminate();
    assert_eq!(terminated.wait_exit(SOON).await.signal(), Some(15));
}
