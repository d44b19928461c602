//! Sending one request and reading what comes back, within bounds.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::{CaptureConnection, HttpInfo, capture_connection};
use hyper_util::rt::TokioTimer;
use reprise_core::attempt::{KEPT_BODY_BYTES, RecordedResponse};
use reprise_core::attempt_outcome::FailureKind;
use tokio_util::task::TaskTracker;

use super::failure::Failure;
use super::guard::GuardedConnector;
use super::tls;
use crate::config::OutboundConfig;

/// Bytes of a response body that are read at most. More would let a receiver hold its slot; fewer would close
/// connections that could be used again, since only one whose response was read to its end can be.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Bytes of status line and headers at most: eight times what common servers send at most.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Headers of a response at most; hyper's own default.
const MAX_HEADERS: usize = 100;
/// How long an unused connection is kept. Below the 5 s after which Node and Apache close theirs, so that we seldom
/// send into a connection that is being closed; long enough for a steady stream of events.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Unused connections to one host at most: as many as one endpoint has in flight by default.
const MAX_IDLE_PER_HOST: usize = 32;

/// The client that everything is sent with. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    client: Client<HttpsConnector<GuardedConnector<GaiResolver>>, Full<Bytes>>,
    allow_http: bool,
}

/// What came of sending a request, as far as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchange {
    /// The response, its body up to where it broke off.
    pub(crate) response: Option<RecordedResponse>,
    /// Its `Retry-After` header.
    pub(crate) retry_after: Option<HeaderValue>,
    /// Why it is not complete.
    pub(crate) failure: Option<Failure>,
    /// The address that was dialled.
    pub(crate) remote_ip: Option<IpAddr>,
}

/// Runs hyper's connections on a tracker, so that they have an owner.
#[derive(Clone, Debug)]
struct Connections(TaskTracker);

impl<Connection> hyper::rt::Executor<Connection> for Connections
where
    Connection: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, connection: Connection) {
        self.0.spawn(connection);
    }
}

impl Outbound {
    /// Makes a client whose connections run on `tracker`.
    ///
    /// # Errors
    ///
    /// The operator's file of authorities can't be read.
    pub(crate) fn new(config: &OutboundConfig, tracker: TaskTracker) -> Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(config.ca_file.as_deref())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(GuardedConnector::new(
                GaiResolver::new(),
                config.guard.clone(),
            ));
        // hyper sends a request again by itself only if no byte of it has been written: the connection had been closed
        // while it was unused. So an attempt stays at most one complete request on the wire.
        let client = Client::builder(Connections(tracker))
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http1_max_headers(MAX_HEADERS)
            .build(connector);
        Ok(Self {
            client,
            allow_http: config.allow_http,
        })
    }

    /// Sends a request, and reads the response as far as it is wanted, until `deadline` has passed in all.
    ///
    /// Cancel safety: dropping the future closes the connection; the receiver may have got the request.
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        deadline: Duration,
    ) -> Exchange {
        let mut exchange = Exchange::default();
        if request.uri().scheme_str() != Some("https") && !self.allow_http {
            exchange.failure = Some(Failure::of(FailureKind::AddressRefused));
            return exchange;
        }
        let connection = capture_connection(&mut request);
        let conversing = self.converse(request, &mut exchange);
        exchange.failure = match tokio::time::timeout(deadline, conversing).await {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(_) => Some(Failure::of(FailureKind::Timeout)),
        };
        exchange.remote_ip = remote_ip(&connection);
        exchange
    }

    /// Fills in `exchange` as the response comes, so that what has come is there if the deadline cuts it short.
    async fn converse(
        &self,
        request: Request<Full<Bytes>>,
        exchange: &mut Exchange,
    ) -> Result<(), Failure> {
        let response = self.client.request(request).await;
        let response = response.map_err(|error| Failure::from_error(&error))?;
        exchange.retry_after = response.headers().get(RETRY_AFTER).cloned();
        let recorded = exchange.response.insert(record_head(&response));
        read_body(response.into_body(), recorded).await
    }
}

fn record_head(response: &Response<Incoming>) -> RecordedResponse {
    RecordedResponse {
        status: response.status().as_u16(),
        headers: joined(response.headers()),
        body: Vec::new(),
        body_truncated: false,
    }
}

/// Names and values as text; the values of a name are joined as RFC 9110 section 5.3 says. Text is what PostgreSQL can
/// store: bytes that are no UTF-8 are replaced.
fn joined(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .keys()
        .map(|name| {
            let values: Vec<_> = headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).replace('\0', ""))
                .collect();
            (name.as_str().to_owned(), values.join(", "))
        })
        .collect()
}

/// Reads a body to its end or to the bound, whichever comes first, and keeps its beginning.
async fn read_body(mut body: Incoming, recorded: &mut RecordedResponse) -> Result<(), Failure> {
    let mut read_bytes = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::from_error(&error))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        let room = KEPT_BODY_BYTES - recorded.body.len();
        let kept = data.get(..room).unwrap_or(data);
        recorded.body.extend_from_slice(kept);
        recorded.body_truncated |= kept.len() < data.len();
        read_bytes = read_bytes.saturating_add(data.len());
        if read_bytes >= MAX_BODY_BYTES {
            break;
        }
    }
    Ok(())
}

fn remote_ip(connection: &CaptureConnection) -> Option<IpAddr> {
    let mut extensions = hyper::http::Extensions::new();
    connection
        .connection_metadata()
        .as_ref()?
        .get_extras(&mut extensions);
    Some(extensions.get::<HttpInfo>()?.remote_addr().ip())
}

#[cfg(test)]
mod tests {
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

    #[tokio::test]
    async fn flood_of_interim_responses_ends_at_the_deadline() {
        let started = Instant::now();
        let exchange = send_to_server(async |stream| {
            flood(stream, &b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1_000)).await;
        });
        assert_eq!(kind_of(&exchange.await), Some(FailureKind::Timeout));
        assert!(started.elapsed() < 3 * DEADLINE, "{:?}", started.elapsed());
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
}
