//! The client against real sockets.

use std::path::Path;
use std::time::Instant;

use reprise_core::address::AddressGuard;
use reprise_testkit::receiver::{Answer, Certificate, Receiver};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

mod raw;
mod tls;

const DEADLINE: Duration = Duration::from_secs(2);

fn outbound() -> Outbound {
    outbound_that_trusts(None)
}

/// A client that trusts the authority in this file.
fn outbound_that_trusts(ca_file: Option<&Path>) -> Outbound {
    let config = OutboundConfig {
        guard: AddressGuard::new(vec!["127.0.0.0/8".parse().expect("a network")]),
        allow_http: true,
        ca_file: ca_file.map(Path::to_owned),
    };
    Outbound::new(&config, TaskTracker::new()).expect("a client")
}

async fn send_to(outbound: &Outbound, url: &str) -> Exchange {
    send_within(outbound, url, DEADLINE).await
}

async fn send_within(outbound: &Outbound, url: &str, deadline: Duration) -> Exchange {
    let request = Request::post(url).body(Full::from("{}"));
    let sending = outbound.send(request.expect("a request"), deadline);
    sending.await.expect("this machine has what it takes")
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
    // With the client its connections end, and a server that waits for that.
    let sending = async move { send_to(&outbound, &url).await };
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
async fn flood_of_interim_responses_ends_after_a_few() {
    let exchange = send_to_server(async |stream: TcpStream| {
        flood(stream, b"HTTP/1.1 103 Early Hints\r\n\r\n").await;
    });
    assert_eq!(kind_of(&exchange.await), Some(FailureKind::Protocol));
}

#[tokio::test]
async fn sixteen_interim_responses_are_read_and_no_more() {
    for (count, failure) in [(16, None), (17, Some(FailureKind::Protocol))] {
        let mut answer = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(count);
        answer.extend_from_slice(b"HTTP/1.1 204 No Content\r\n\r\n");
        let exchange = send_to_server(async |mut stream: TcpStream| {
            stream.write_all(&answer).await.expect("written");
            let _ = stream.read(&mut [0]).await;
        });
        assert_eq!(kind_of(&exchange.await), failure, "{count} came");
    }
}

#[tokio::test]
async fn sixteen_kib_of_headers_are_kept() {
    let line = format!("x-filler: {}\r\n", "x".repeat(7_900));
    let lines: String = (0..5)
        .map(|place| line.replace("filler", &place.to_string()))
        .collect();
    let answer = format!("HTTP/1.1 204 No Content\r\n{lines}x-small: 1\r\n\r\n");
    let exchange = send_to_server(async |mut stream: TcpStream| {
        stream.write_all(answer.as_bytes()).await.expect("written");
        let _ = stream.read(&mut [0]).await;
    });
    let exchange = exchange.await;
    assert_eq!(kind_of(&exchange), None);
    let headers = exchange.response.expect("a response").headers;
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let kept = ["x-0", "x-1", "x-small"];
    assert_eq!(names, kept, "a third large one would be beyond it");
}

#[tokio::test]
async fn connections_beyond_those_that_are_kept_are_closed_after_one_request() {
    let mut outbound = outbound();
    // Two, and the task that closes those that are unused for too long.
    outbound.max_kept = 3;
    let receivers = [
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    ];
    for _ in 0..2 {
        for receiver in &receivers {
            let exchange = send_to(&outbound, &receiver.url("/")).await;
            assert_eq!(exchange.failure, None);
        }
    }
    let is_kept = receivers.each_ref().map(|receiver| {
        let received = receiver.received();
        received[0].peer == received[1].peer
    });
    assert_eq!(is_kept, [true, true, false]);
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

#[tokio::test]
async fn connection_that_the_receiver_closed_while_it_was_unused_costs_no_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let outbound = outbound();
    for _ in 0..20 {
        let answering = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 1024]).await.expect("a request");
            let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
            stream.write_all(answer).await.expect("written");
        };
        // The receiver's end is closed when it has answered, and the client is told nothing of it.
        let (exchange, ()) = tokio::join!(send_to(&outbound, &url), answering);
        assert_eq!(exchange.failure, None);
        while !outbound.connections.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
