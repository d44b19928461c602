//! The program's outside: configuration and the admin port.

use std::time::Duration;

use reprise_core::delivery::DeliveryStatus;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{Dispatcher, SECRET_KEY};
use reprise_testkit::process::Process;
use reprise_testkit::receiver::Receiver;

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
