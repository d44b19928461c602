use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpSocket};

use super::*;

/// A resolver that answers in turn, and counts how often it was asked.
#[derive(Clone, Debug)]
struct Scripted {
    answers: Arc<Vec<Vec<SocketAddr>>>,
    asked_count: Arc<AtomicUsize>,
}

impl Scripted {
    fn new(answers: Vec<Vec<SocketAddr>>) -> Self {
        Self {
            answers: Arc::new(answers),
            asked_count: Arc::default(),
        }
    }
}

impl Service<Name> for Scripted {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = std::future::Ready<Result<Self::Response, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        let place = self.asked_count.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.get(place).cloned();
        std::future::ready(
            answer
                .map(Vec::into_iter)
                .ok_or_else(|| std::io::ErrorKind::NotFound.into()),
        )
    }
}

fn loopback_allowed() -> AddressGuard {
    AddressGuard::new(vec!["127.0.0.1/32".parse().expect("a network")])
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("a socket address")
}

async fn connect(
    resolver: &Scripted,
    guard: AddressGuard,
    url: &str,
) -> Result<SocketAddr, ConnectFailure> {
    let mut connector = GuardedConnector::new(resolver.clone(), guard);
    let stream = connector.call(url.parse().expect("a URL")).await?;
    Ok(stream.inner().peer_addr().expect("a connected socket"))
}

#[tokio::test]
async fn name_with_any_forbidden_address_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let there = listener.local_addr().expect("its address");
    for forbidden in [
        "10.0.0.1:0",
        "169.254.169.254:0",
        "[::1]:0",
        "[::ffff:10.0.0.1]:0",
    ] {
        let resolver = Scripted::new(vec![vec![there, address(forbidden)]]);
        let url = format!("http://receiver.example:{}/", there.port());
        let refused = connect(&resolver, loopback_allowed(), &url).await;
        assert!(
            matches!(refused, Err(ConnectFailure::Unresolved(_))),
            "{forbidden}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn only_the_address_that_was_checked_is_dialled() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let there = listener.local_addr().expect("its address");
    // A second question would be answered differently: DNS rebinding.
    let resolver = Scripted::new(vec![vec![there], vec![address("10.0.0.1:80")]]);
    let url = format!("http://receiver.example:{}/", there.port());
    let peer = connect(&resolver, loopback_allowed(), &url).await;
    assert_eq!(peer.expect("permitted"), there);
    assert_eq!(resolver.asked_count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn literal_addresses_are_checked_without_the_resolver() {
    let resolver = Scripted::new(Vec::new());
    // A port that is not refused by itself.
    for url in [
        "http://127.0.0.1:8080/",
        "http://[::1]:8080/",
        "http://[::ffff:127.0.0.1]:8080/",
        "http://[64:ff9b::808:808]:8080/",
        "http://0.0.0.0:8080/",
    ] {
        let refused = connect(&resolver, AddressGuard::default(), url).await;
        assert!(
            matches!(refused, Err(ConnectFailure::Refused)),
            "{url}: {refused:?}"
        );
    }
    assert_eq!(resolver.asked_count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn port_that_is_refused_now_is_not_dialled_although_its_url_was_stored() {
    let resolver = Scripted::new(vec![vec![address("127.0.0.1:0")]]);
    for url in ["http://127.0.0.1:6379/", "http://receiver.example:9200/"] {
        let refused = connect(&resolver, loopback_allowed(), url).await;
        assert!(
            matches!(refused, Err(ConnectFailure::Refused)),
            "{url}: {refused:?}"
        );
    }
    assert_eq!(resolver.asked_count.load(Ordering::SeqCst), 0);
}

/// Time stands still but for waits, so that ten seconds take none.
#[tokio::test(start_paused = true)]
async fn connecting_to_a_port_that_drops_packets_ends_before_any_deadline() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(address("127.0.0.1:0")).expect("a port");
    let listener = socket.listen(1).expect("listening");
    let there = listener.local_addr().expect("its address");
    // Nobody accepts, so that further ones are not answered when so many wait.
    let mut waiting = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&there, Duration::from_millis(200))
    {
        waiting.push(stream);
    }
    let url = format!("http://{there}/");
    let resolver = Scripted::new(Vec::new());
    let started = tokio::time::Instant::now();
    let connecting = connect(&resolver, loopback_allowed(), &url);
    let failed = tokio::time::timeout(2 * CONNECT_TIMEOUT, connecting).await;
    assert!(matches!(failed, Ok(Err(ConnectFailure::Unconnected(_)))));
    let elapsed = started.elapsed();
    assert!(elapsed >= CONNECT_TIMEOUT && elapsed < 2 * CONNECT_TIMEOUT);
}

#[tokio::test]
async fn name_without_addresses_is_unresolved() {
    for answers in [Vec::new(), vec![Vec::new()]] {
        let resolver = Scripted::new(answers);
        let failed = connect(&resolver, loopback_allowed(), "http://receiver.example/").await;
        assert!(
            matches!(failed, Err(ConnectFailure::Unresolved(_))),
            "{failed:?}"
        );
    }
}
