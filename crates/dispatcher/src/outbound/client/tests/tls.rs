//! Receivers whose TLS does not hold.

use super::*;

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
async fn certificate_that_does_not_hold_is_a_tls_failure_that_says_why() {
    for (certificate, why) in [
        (Certificate::Valid, None),
        (Certificate::Expired, Some("expired")),
        (Certificate::SelfSigned, Some("UnknownIssuer")),
    ] {
        let receiver = Receiver::start_tls_with(&["localhost"], certificate).await;
        let outbound = outbound_that_trusts(Some(receiver.ca_pem_path()));
        let exchange = send_to(&outbound, &receiver.url("/")).await;
        let Some(why) = why else {
            assert_eq!(exchange.failure, None);
            continue;
        };
        let failure = exchange.failure.expect("a failure");
        assert_eq!(failure.kind, FailureKind::Tls, "{certificate:?}");
        assert!(failure.message.contains(why), "{}", failure.message);
        assert!(receiver.received().is_empty());
    }
}
