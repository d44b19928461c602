//! The program's outside: configuration and the admin port.

use std::process::Command;
use std::time::Duration;

use reprise_core::delivery::DeliveryStatus;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{Dispatcher, SECRET_KEY};
use reprise_testkit::process::{Process, binary};
use reprise_testkit::receiver::{Answer, Receiver};

use crate::world::{World, settings};

#[tokio::test]
async fn bad_configuration_ends_with_every_mistake_and_shows_no_secret() {
    let mut process = Process::start(
        "reprise-dispatcher",
        &[],
        &[
            ("DATABASE_URL", "postgres://user:hunter2@host:port/x"),
            ("REPRISE_SECRET_KEY", "hunter2"),
            ("REPRISE_DRAIN_TIMEOUT", "soon"),
            ("REPRISE_MAX_IN_FLIGHT", "0"),
        ],
    );
    let status = process.wait_exit(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(1));
    let ended = |line: &str| line.contains("REPRISE_DRAIN_TIMEOUT").then_some(());
    process.wait_for_line(ended, Duration::from_secs(5)).await;
    let output = process.lines().join("\n");
    for variable in [
        "DATABASE_URL",
        "REPRISE_SECRET_KEY",
        "REPRISE_DRAIN_TIMEOUT",
        "REPRISE_MAX_IN_FLIGHT",
    ] {
        assert!(
            output.contains(&format!("  {variable}: ")),
            "{variable} in {output}"
        );
    }
    assert!(!output.contains("hunter2"), "{output}");
}

/// Runs the program with exactly these arguments and variables, and returns its code and all that it wrote.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = Command::new(binary("reprise-dispatcher"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("it can be run");
    let written = [output.stdout, output.stderr].concat();
    let written = String::from_utf8_lossy(&written).into_owned();
    (output.status.code(), written)
}

#[test]
fn what_is_required_and_missing_is_named() {
    let (code, written) = run(&[], &[]);
    assert_eq!(code, Some(1));
    for variable in ["DATABASE_URL", "REPRISE_SECRET_KEY"] {
        assert!(
            written.contains(&format!("{variable}: must be set")),
            "{written}"
        );
    }
}

#[test]
fn help_documents_every_variable_with_its_default() {
    let (code, help) = run(&["--help"], &[]);
    assert_eq!(code, Some(0));
    for (variable, default) in [
        ("DATABASE_URL", ""),
        ("REPRISE_SECRET_KEY", ""),
        ("REPRISE_SECRET_KEY_PREVIOUS", ""),
        ("REPRISE_ADMIN_LISTEN", "127.0.0.1:9090"),
        ("REPRISE_ALLOW_NETWORKS", ""),
        ("REPRISE_ALLOW_HTTP", "false"),
        ("REPRISE_MAX_IN_FLIGHT", "512"),
        ("REPRISE_MAX_IN_FLIGHT_PER_TENANT", "256"),
        ("REPRISE_MAX_IN_FLIGHT_PER_ENDPOINT", "32"),
        ("REPRISE_CIRCUIT_FAILURES", "100"),
        ("REPRISE_CIRCUIT_FAILING_FOR", "60s"),
        ("REPRISE_CIRCUIT_PAUSE", "30s"),
        ("REPRISE_CIRCUIT_MAX_PAUSE", "5m"),
        ("REPRISE_RETENTION_DAYS", "90"),
        ("REPRISE_DRAIN_TIMEOUT", "60s"),
        ("REPRISE_POLL_INTERVAL", "1s"),
        ("REPRISE_DATABASE_CONNECTIONS", "8"),
        ("REPRISE_CA_FILE", ""),
        ("REPRISE_LOG", "info"),
        ("REPRISE_LOG_FORMAT", "text"),
    ] {
        // What follows a variable up to the next one is its own.
        let named = [format!("{variable}]"), format!("{variable}=]")];
        let mut parts = help.split("[env: ");
        let own = parts.find(|part| named.iter().any(|name| part.starts_with(name)));
        let own = own.unwrap_or_else(|| panic!("{variable} in {help}"));
        let shown = format!("[default: {default}]");
        assert!(default.is_empty() || own.contains(&shown), "{own}");
    }
}

#[tokio::test]
async fn one_tenant_has_no_more_in_flight_than_the_operator_says() {
    const PAUSE: Duration = Duration::from_millis(300);
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    receiver.answer(Answer::status(200).delay(PAUSE));
    for path in ["/a", "/b", "/c"] {
        world.endpoint(&settings(&receiver.url(path))).await;
    }
    world.publish_quietly(b"{}").await;
    let environment = [("REPRISE_MAX_IN_FLIGHT_PER_TENANT", "1")];
    let _dispatcher = Dispatcher::start_with(database.url(), &environment).await;
    let received = receiver.wait_for(3, Duration::from_secs(30)).await;
    for pair in received.windows(2) {
        let distance = pair[1].at - pair[0].at;
        assert!(distance >= PAUSE, "{distance:?}: two are in flight at once");
    }
}

#[tokio::test]
async fn unreadable_file_of_authorities_ends_the_program_with_its_name() {
    let mut process = Process::start(
        "reprise-dispatcher",
        &[],
        &[
            ("DATABASE_URL", "postgres://localhost/x"),
            ("REPRISE_SECRET_KEY", SECRET_KEY),
            ("REPRISE_ADMIN_LISTEN", "127.0.0.1:0"),
            ("REPRISE_CA_FILE", "/nowhere/ca.pem"),
        ],
    );
    let status = process.wait_exit(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(1));
    let named = |line: &str| line.contains("REPRISE_CA_FILE").then_some(());
    process.wait_for_line(named, Duration::from_secs(5)).await;
}

#[tokio::test]
async fn admin_port_answers_health_readiness_and_metrics() {
    let database = TestDatabase::create().await;
    let world = World::create(database.url()).await;
    let receiver = Receiver::start().await;
    let dispatcher = Dispatcher::start(database.url()).await;
    let endpoint = world.endpoint(&settings(&receiver.url("/"))).await;
    world.publish(b"{}").await;
    world
        .wait_for_status(endpoint, DeliveryStatus::Delivered)
        .await;

    let admin = dispatcher.admin();
    let _ = admin.get("/healthz").await.expect_status(200);
    let _ = admin.get("/readyz").await.expect_status(200);
    let _ = admin.get("/other").await.expect_status(404);
    let _ = admin.post_empty("/metrics").await.expect_status(405);
    let metrics = admin.get("/metrics").await.expect_status(200).text();
    for line in [
        "reprise_attempts_total{outcome=\"delivered\"} 1",
        "reprise_attempt_seconds_count 1",
        "reprise_claim_batch_size_count 1",
        "reprise_record_batch_size_count 1",
        "reprise_queue_ready 0",
        "reprise_queue_waiting 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}
