//! Connecting only to addresses that the guard permits.
//!
//! hyper's connector asks its resolver for names only, so an address that stands in the URL is checked before the
//! connector sees it. A name is resolved once; the connector dials what [`GuardedResolver`] hands on, and nothing else.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use reprise_core::address::AddressGuard;
use reprise_core::endpoint_url::is_refused_port;
use thiserror::Error;
use tokio::net::TcpStream;
use tower_service::Service;
use tracing::debug;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// The longest wait for a TCP connection, all addresses of a name together. Longer, and a receiver that drops packets
/// holds its slots for its whole deadline; shorter, and one lost SYN (repeated after 1, 3 and 7 s) is an error.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum ConnectFailure {
    #[error("the address guard refuses the address")]
    Refused,
    #[error("the name does not lead to an address that may be dialled")]
    Unresolved(#[source] Option<BoxError>),
    #[error("no connection")]
    Unconnected(#[source] BoxError),
    #[error("no connection in time")]
    TooSlow,
}

/// Resolves names with `inner`, and refuses a name of which any address is forbidden: one that mixes allowed and
/// forbidden addresses has no honest reason to.
///
/// A refused name fails as one that does not exist. Told apart, the two would answer any tenant which names there are
/// inside: `redis.default.svc.cluster.local`, or what else the name servers of the operator know.
#[derive(Clone, Debug)]
pub(super) struct GuardedResolver<R> {
    inner: R,
    guard: AddressGuard,
}

impl<R> Service<Name> for GuardedResolver<R>
where
    R: Service<Name, Response: Iterator<Item = SocketAddr>, Error: Into<BoxError>>,
    R::Future: Send + 'static,
{
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ConnectFailure;
    type Future = BoxFuture<Self::Response, ConnectFailure>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        self.inner.poll_ready(cx).map_err(unresolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let host = name.clone();
        let resolving = self.inner.call(name);
        let guard = self.guard.clone();
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = resolving.await.map_err(unresolved)?.collect();
            if addresses.is_empty() {
                return Err(ConnectFailure::Unresolved(None));
            }
            if !addresses.iter().all(|address| guard.permits(address.ip())) {
                debug!(%host, "The name leads to an address that the guard refuses");
                return Err(ConnectFailure::Unresolved(None));
            }
            Ok(addresses.into_iter())
        })
    }
}

fn unresolved(error: impl Into<BoxError>) -> ConnectFailure {
    ConnectFailure::Unresolved(Some(error.into()))
}

/// Makes TCP connections to permitted addresses.
#[derive(Clone, Debug)]
pub(super) struct GuardedConnector<R> {
    tcp: HttpConnector<GuardedResolver<R>>,
    guard: AddressGuard,
}

impl<R: Clone> GuardedConnector<R> {
    pub(super) fn new(resolver: R, guard: AddressGuard) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(GuardedResolver {
            inner: resolver,
            guard: guard.clone(),
        });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self { tcp, guard }
    }
}

impl<R> Service<Uri> for GuardedConnector<R>
where
    R: Service<Name, Response: Iterator<Item = SocketAddr>, Error: Into<BoxError>>
        + Clone
        + Send
        + Sync
        + 'static,
    R::Future: Send + 'static,
{
    type Response = TokioIo<TcpStream>;
    type Error = ConnectFailure;
    type Future = BoxFuture<Self::Response, ConnectFailure>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        self.tcp.poll_ready(cx).map_err(unconnected)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        // Rules that have become stricter since the URL was stored hold, too.
        let is_refused = literal_of(&url).is_some_and(|ip| !self.guard.permits_literal(ip))
            || url.port_u16().is_some_and(is_refused_port);
        if is_refused {
            return Box::pin(async { Err(ConnectFailure::Refused) });
        }
        let connecting = self.tcp.call(url);
        let guard = self.guard.clone();
        Box::pin(async move {
            let stream = connecting.await.map_err(unconnected)?;
            let peer = stream.inner().peer_addr().map_err(unconnected)?;
            // Never false as things are; it holds whatever hyper's connector may do one day.
            if !guard.permits(peer.ip()) {
                return Err(ConnectFailure::Refused);
            }
            Ok(stream)
        })
    }
}

/// The address that stands in a URL instead of a name.
fn literal_of(url: &Uri) -> Option<IpAddr> {
    let host = url.host()?;
    let unbracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    unbracketed.parse().ok()
}

/// What hyper's connector says, or what the resolver inside it said.
fn unconnected(error: impl Into<BoxError>) -> ConnectFailure {
    let error = error.into();
    if is_of_resolver(error.as_ref()) {
        ConnectFailure::Unresolved(Some(error))
    } else {
        ConnectFailure::Unconnected(error)
    }
}

/// Of a [`ConnectFailure`]s within hyper's connector is none but those of [`GuardedResolver`].
fn is_of_resolver(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(<dyn std::error::Error>::is::<ConnectFailure>)
}

#[cfg(test)]
mod tests;
