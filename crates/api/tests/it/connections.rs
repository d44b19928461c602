//! How many connections a client may have, and for how long one may be held that says nothing.

use std::time::Duration;

use reprise_testkit::fixture::SECRET_KEY;
use reprise_testkit::metrics::value;
use reprise_testkit::polling::wait_for;
use reprise_testkit::process::{Process, binary};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(30);

/// Asks on a connection that stays open, and returns the status; none if the connection was closed.
async fn ask(stream: &mut TcpStream) -> Option<String> {
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let _ = stream.write_all(request).await;
    let mut answer = [0; 4096];
    let read = wait_for(PATIENCE, stream.read(&mut answer)).await;
    let length = read.expect("it is answered or closed").unwrap_or(0);
    let answer = String::from_utf8_lossy(&answer[..length]);
    answer.split(' ').nth(1).map(str::to_owned)
}

async fn connect(stage: &Stage) -> TcpStream {
    let connected = TcpStream::connect(stage.api.address()).await;
    connected.expect("the system accepts for us")
}

#[tokio::test]
async fn connections_of_one_address_are_bounded_and_those_it_has_go_on() {
    let limit = [("REPRISE_MAX_CONNECTIONS_PER_ADDRESS", "3")];
    let stage = Stage::start_with(&limit).await;
    // The client of the testkit keeps connections of its own, for as long as the server lets it.
    let mut open = Vec::new();
    let refused = loop {
        let mut stream = connect(&stage).await;
        match ask(&mut stream).await {
            Some(status) => assert_eq!(status, "200"),
            None => break stream,
        }
        open.push(stream);
        assert!(open.len() <= 3, "the fourth is answered too");
    };
    assert!(!open.is_empty());
    for stream in &mut open {
        assert_eq!(ask(stream).await.as_deref(), Some("200"));
    }
    drop((refused, open));
    let metrics = stage.api.anonymous().get("/metrics").await;
    let count = value(&metrics.text(), "reprise_api_connections_refused_total");
    assert!(count >= Some(1.0), "{count:?}");
}

#[tokio::test]
async fn connections_of_a_trusted_proxy_are_not_counted() {
    let environment = [
        ("REPRISE_MAX_CONNECTIONS_PER_ADDRESS", "1"),
        ("REPRISE_TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    let stage = Stage::start_with(&environment).await;
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut stream = connect(&stage).await;
        assert_eq!(ask(&mut stream).await.as_deref(), Some("200"));
        open.push(stream);
    }
}

#[tokio::test]
async fn one_byte_of_a_second_request_does_not_hold_a_connection() {
    let stage = Stage::start().await;
    let mut stream = connect(&stage).await;
    assert_eq!(ask(&mut stream).await.as_deref(), Some("200"));
    stream.write_all(b"G").await.expect("sent");
    let ended = wait_for(PATIENCE, stream.read(&mut [0; 16])).await;
    // An error is a reset, which is an end too.
    let length = ended.expect("the connection is held for ever").unwrap_or(0);
    assert_eq!(length, 0, "and nothing is said");
}

#[tokio::test]
async fn the_soft_limit_of_files_is_raised_to_the_hard_one() {
    let api = binary("reprise-api");
    let script = format!("ulimit -Sn 256 && exec {}", api.display());
    let environment = [
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none"),
        ("REPRISE_SECRET_KEY", SECRET_KEY),
        ("REPRISE_LISTEN", "127.0.0.1:0"),
    ];
    let api = Process::start("/bin/sh", &["-c", &script], &environment);
    let listens = |line: &str| line.contains("listening on").then_some(());
    api.wait_for_line(listens, PATIENCE).await;
    let id = api.id().expect("it runs");
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).expect("Linux");
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let words: Vec<&str> = files.expect("a limit").split_whitespace().collect();
    assert_ne!(words[3], "256");
    assert_eq!(words[3], words[4], "soft and hard");
}
