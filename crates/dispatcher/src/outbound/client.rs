//! Sending one request and reading what comes back, within bounds.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HeaderValue, RETRY_AFTER};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, HttpInfo, capture_connection};
use hyper_util::rt::TokioTimer;
use reprise_core::attempt::RecordedResponse;
use reprise_core::attempt_outcome::FailureKind;
use rustix::process::{Resource, getrlimit};
use tokio_util::task::TaskTracker;

use super::bounded::BoundedConnector;
use super::failure::Failure;
use super::guard::{BoxError, GuardedConnector};
use super::interim::InterimResponses;
use super::resolver::{Names, Resolver};
use super::shortage::{Shortage, Warning};
use super::{response, tls};
use crate::config::OutboundConfig;

#[cfg(test)]
mod tests;

/// Bytes of status line and headers at most: eight times what common servers send at most.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Headers of a response at most; hyper's own default.
const MAX_HEADERS: usize = 100;
/// How long an unused connection is kept. Below the 5 s after which Node and Apache close theirs, so that we seldom
/// send into a connection that is being closed; long enough for a steady stream of events.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Unused connections to one host at most: as many as are in flight by default, since many endpoints may share a host.
/// Fewer, and those beyond them are closed after one request each; more would only be held.
const MAX_IDLE_PER_HOST: usize = 512;
/// Connections open at once, to all hosts, up to which they are kept after their first request. More, and a tenant with
/// an endpoint at each of ten thousand hosts makes us hold ten thousand, at up to 50 KiB each; fewer, and where there
/// are many hosts each request pays for a new connection.
const MAX_KEPT: usize = 2_048;

/// The client that everything is sent with. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    client: Client<BoundedConnector<HttpsConnector<GuardedConnector<Resolver>>>, Full<Bytes>>,
    allow_http: bool,
    /// One task per open connection, and now and then one for something else.
    connections: TaskTracker,
    max_kept: usize,
    shortage: Warning,
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
    /// The operator's file of authorities can't be read, or the system's name servers can't be used.
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
        let client = Client::builder(Connections(tracker.clone()))
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http1_max_headers(MAX_HEADERS)
            .build(BoundedConnector::new(connector));
        Ok(Self {
            client,
            allow_http: config.allow_http,
            connections: tracker,
            max_kept: MAX_KEPT.min(descriptors() / 2),
            shortage: Warning::default(),
        })
    }

    /// Sends a request, and reads the response as far as it is wanted, until `deadline` has passed in all.
    ///
    /// # Errors
    ///
    /// [`Shortage`]: this machine could not even begin, and nothing was sent.
    ///
    /// Cancel safety: dropping the future closes the connection; the receiver may have got the request.
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        deadline: Duration,
    ) -> Result<Exchange, Shortage> {
        let mut exchange = Exchange::default();
        if request.uri().scheme_str() != Some("https") && !self.allow_http {
            exchange.failure = Some(Failure::of(FailureKind::AddressRefused));
            return Ok(exchange);
        }
        if self.connections.len() >= self.max_kept {
            let headers = request.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let connection = capture_connection(&mut request);
        let conversing = self.converse(request, &mut exchange);
        exchange.failure = match tokio::time::timeout(deadline, conversing).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                if let Some(shortage) = Shortage::in_error(error.as_ref()) {
                    self.shortage.tell(shortage);
                    return Err(shortage);
                }
                Some(Failure::from_error(error.as_ref()))
            }
            Err(_) => Some(Failure::of(FailureKind::Timeout)),
        };
        exchange.remote_ip = remote_ip(&connection);
        Ok(exchange)
    }

    /// Fills in `exchange` as the response comes, so that what has come is there if the deadline cuts it short.
    async fn converse(
        &self,
        mut request: Request<Full<Bytes>>,
        exchange: &mut Exchange,
    ) -> Result<(), BoxError> {
        let interim = InterimResponses::bounded(&mut request);
        // Biased: what comes after too many of them does not count, even if it came together with them.
        let response = tokio::select! {
            biased;
            too_many = interim.too_many() => return Err(too_many.into()),
            response = self.client.request(request) => response?,
        };
        exchange.retry_after = response.headers().get(RETRY_AFTER).cloned();
        let recorded = exchange.response.insert(response::record_head(&response));
        response::read_body(response.into_body(), recorded).await?;
        Ok(())
    }
}

/// File descriptors that this process may have.
fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    limit.unwrap_or(usize::MAX)
}

fn remote_ip(connection: &CaptureConnection) -> Option<IpAddr> {
    let mut extensions = hyper::http::Extensions::new();
    connection
        .connection_metadata()
        .as_ref()?
        .get_extras(&mut extensions);
    Some(extensions.get::<HttpInfo>()?.remote_addr().ip())
}
