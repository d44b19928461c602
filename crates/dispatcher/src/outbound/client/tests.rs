//! The client against real sockets.

use std::time::Instant;

use reprise_core::address::AddressGuard;
use reprise_testkit::receiver::{Answer, Receiver};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const DEADLINE: Duration = Duration::from_secs(2);

fn outbound() -> Outbound {
    let config = OutboundConfig {
        guard: AddressGuard::new(vec!["127.0.0.0/8".parse().expect("a network")]),
        allow_http: true,
        ca_file: None,
    };
    Outbound::new(&config, TaskTracker::new()).expect("a client")
}

async fn send_to(outbound: &Outbound, url: &str) -> Exchange {
    let request = Request::post(url).body(Full::from("{}"));
    outbound.send(request.expect("a request"), DEADLINE).await
}

fn kind_of(exchange: &Exchange) -> Option<FailureKind> {
    exchange.failure.as_ref().map(|failure| failure.kind)
}

/// Sends to a server that does what it likes with the one connection it gets.
async fn send_to_server(serve: impl AsyncFnOnce(TcpStream)) -> Exchange {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let outbound = outbound();
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await.expect("a request");
        serve(stream).await;
    };
    let sending = send_to(&outbound, &url);
    let serving = async { tokio::time::timeout(2 * DEADLINE, serving).await };
    tokio::join!(sending, serving).0
}

/// Writes the same bytes until the client has had enough.
async fn flood(mut stream: TcpStream, bytes: &[u8]) {
    while stream.write_all(bytes).await.is_ok() {}
}

#[tokio::test]
async fn port_that_nobody_listens_on_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let exchange = send_to(&outbound(), &url).await;
    assert_eq!(kind_of(&exchange), Some(FailureKind::Connect));
    assert_eq!(exchange.remote_ip, None);
}

#[tokio::test]
async fn name_that_does_not_exist_is_a_dns_failure() {
    let exchange = send_to(&outbound(), "http://receiver.invalid/").await;
    assert_eq!(kind_of(&exchange), Some(FailureKind::Dns));
}

#[tokio::test]
async fn peer_that_speaks_no_tls_is_a_tls_failure() {
    let receiver = Receiver::start().await;
    let url = format!("https://{}/", receiver.address());
    let exchange = send_to(&outbound(), &url).await;
    assert_eq!(kind_of(&exchange), Some(FailureKind::Tls));
}

#[tokio::test]
async fn unknown_authority_is_a_tls_failure_that_says_so() {
    let receiver = Receiver::start_tls(&["localhost"]).await;
    let url = format!("https://{}/", receiver.address());
    let exchange = send_to(&outbound(), &url).await;
    let failure = exchange.failure.expect("a failure");
    assert_eq!(failure.kind, FailureKind::Tls);
    assert!(
        failure.message.contains("UnknownIssuer"),
        "{}",
        failure.message
    );
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn connection_that_ends_before_or_within_the_response_is_lost() {
    for said in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
    ] {
        let exchange = send_to_server(async |mut stream: TcpStream| {
            stream.write_all(said.as_bytes()).await.expect("written");
        });
        let exchange = exchange.await;
        assert_eq!(
            kind_of(&exchange),
            Some(FailureKind::ConnectionLost),
            "{said:?}"
        );
        let body = exchange.response.map(|response| response.body);
        assert_eq!(body, said.ends_with("half").then(|| b"half".to_vec()));
    }
}

#[tokio::test]
async fn what_is_not_http_is_a_protocol_failure() {
    for said in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 banana\r\n\r\n",
        "\0\0\0\0",
    ] {
        let exchange = send_to_server(async |mut stream: TcpStream| {
            stream.write_all(said.as_bytes()).await.expect("written");
        });
        assert_eq!(
            kind_of(&exchange.await),
            Some(FailureKind::Protocol),
            "{said:?}"
        );
    }
}

#[tokio::test]
async fn endless_headers_end_at_the_bound() {
    let line = format!("x-filler: {}\r\n", "x".repeat(1_000));
    let exchange = send_to_server(async |mut stream: TcpStream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\n")
            .await
            .expect("written");
        flood(stream, line.as_bytes()).await;
    });
    assert_eq!(kind_of(&exchange.await), Some(FailureKind::Protocol));
}

/// Says that a body has so many bytes, sends so many, and then waits until the client has had enough.
async fn send_body(mut stream: TcpStream, promised: usize, sent: usize) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {promised}\r\n\r\n");
    let answer = [head.into_bytes(), vec![b'x'; sent]].concat();
    stream.write_all(&answer).await.expect("written");
    let _ = stream.read(&mut [0]).await;
}

#[tokio::test]
async fn body_is_read_up_to_64_kib_and_no_further() {
    for (sent, failure) in [(65_535, Some(FailureKind::Timeout)), (65_536, None)] {
        let exchange = send_to_server(async |stream| send_body(stream, 100_000, sent).await).await;
        assert_eq!(kind_of(&exchange), failure, "{sent} bytes came");
    }
}

#[tokio::test]
async fn sixteen_kib_of_a_body_are_kept_and_it_is_told_whether_that_is_all() {
    for (bytes, is_truncated) in [(16_384, false), (16_385, true), (65_536, true)] {
        let exchange = send_to_server(async |stream| send_body(stream, bytes, bytes).await).await;
        assert_eq!(exchange.failure, None);
        let response = exchange.response.expect("a response");
        let kept = (response.body.len(), response.body_truncated);
        assert_eq!(kept, (16_384, is_truncated), "{bytes} bytes came");
    }
}

#[tokio::test]
async fn peer_that_accepts_and_never_speaks_tls_costs_the_deadline_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}/", listener.local_addr().expect("an address"));
    let started = Instant::now();
    let silent = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        // The client greets, and waits for an answer until it gives up.
        while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
    };
    let client = outbound();
    let silent = tokio::time::timeout(2 * DEADLINE, silent);
    let (exchange, _) = tokio::join!(send_to(&client, &url), silent);
    assert_eq!(kind_of(&exchange), Some(FailureKind::Timeout));
    let elapsed = started.elapsed();
    assert!(elapsed >= DEADLINE && elapsed < 3 * DEADLINE, "{elapsed:?}");
}

#[tokio::test]
async fn flood_of_interim_responses_ends_at_the_deadline() {
    // Not more than this is read after the deadline has passed, however slow the machine is: a connection that always has
    // something to read gives way after some of it, and then the deadline has its turn.
    const READ_LATE: usize = 128 * 1024 * 1024;
    let flood = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1_000);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let client = outbound();
    let started = Instant::now();
    // Until the client hangs up, which it never would without a deadline.
    let flooding = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.read(&mut [0; 1024]).await.expect("a request");
        let mut written_late = 0;
        while written_late < READ_LATE && stream.write_all(&flood).await.is_ok() {
            if started.elapsed() > DEADLINE {
                written_late += flood.len();
            }
        }
        written_late
    };
    let (exchange, written_late) = tokio::join!(send_to(&client, &url), flooding);
    assert_eq!(kind_of(&exchange), Some(FailureKind::Timeout));
    assert!(written_late < READ_LATE, "{written_late} bytes after it");
}

#[tokio::test]
async fn repeated_headers_are_joined_and_retry_after_is_kept() {
    let receiver = Receiver::start().await;
    let answer = Answer::status(503).header("retry-after", "7");
    receiver.answer(answer.header("x-many", "a").header("x-many", "b"));
    let exchange = send_to(&outbound(), &receiver.url("/")).await;
    assert_eq!(exchange.failure, None);
    assert_eq!(exchange.retry_after, Some(HeaderValue::from_static("7")));
    let headers = exchange.response.expect("a response").headers;
    assert!(
        headers.contains(&("x-many".to_owned(), "a, b".to_owned())),
        "{headers:?}"
    );
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let receiver = Receiver::start().await;
    let outbound = outbound();
    for _ in 0..3 {
        let exchange = send_to(&outbound, &receiver.url("/")).await;
        assert_eq!(exchange.failure, None);
    }
    let received = receiver.received();
    assert!(received.iter().all(|one| one.peer == received[0].peer));
}

#[tokio::test]
async fn connection_that_breaks_after_the_request_is_not_tried_again() {
    let receiver = Receiver::start().await;
    receiver.answer(vec![
        Answer::status(200),
        Answer::reset(),
        Answer::status(200),
    ]);
    let outbound = outbound();
    assert_eq!(kind_of(&send_to(&outbound, &receiver.url("/")).await), None);
    let exchange = send_to(&outbound, &receiver.url("/")).await;
    assert_eq!(kind_of(&exchange), Some(FailureKind::ConnectionLost));
    assert_eq!(receiver.received().len(), 2);
}
