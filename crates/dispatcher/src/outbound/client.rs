//! Sending one request and reading what comes back, within bounds.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, HttpInfo, capture_connection};
use hyper_util::rt::TokioTimer;
use reprise_core::attempt::{KEPT_BODY_BYTES, RecordedResponse};
use reprise_core::attempt_outcome::FailureKind;
use tokio_util::task::TaskTracker;

use super::bounded::BoundedConnector;
use super::failure::Failure;
use super::guard::GuardedConnector;
use super::resolver::{Names, Resolver};
use super::tls;
use crate::config::OutboundConfig;

#[cfg(test)]
mod tests;

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
/// Unused connections to one host at most: as many as are in flight by default, since many endpoints may share a host. Fewer,
/// and those beyond them are closed after one request each; more would only be held.
const MAX_IDLE_PER_HOST: usize = 512;

/// The client that everything is sent with. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    client: Client<BoundedConnector<HttpsConnector<GuardedConnector<Resolver>>>, Full<Bytes>>,
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
        let names = if config.guard.allows_more_than_public() {
            Names::Searched
        } else {
            Names::Absolute
        };
        let resolver = Resolver::from_system(names).context("setting up the lookup of names")?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(config.ca_file.as_deref())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(GuardedConnector::new(resolver, config.guard.clone()));
        // hyper sends a request again by itself only if no byte of it has been written: the connection had been closed
        // while it was unused. So an attempt stays at most one complete request on the wire.
        let client = Client::builder(Connections(tracker))
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http1_max_headers(MAX_HEADERS)
            .build(BoundedConnector::new(connector));
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
