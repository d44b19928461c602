//! Serving HTTP over connections that are bounded in number and in time.
//!
//! This is what actix-web's own `HttpServer` does, put together from the same parts, with one difference that it has no
//! hook for: between the socket and HTTP stands a [`BoundedStream`].

pub mod bounded_stream;
pub mod places;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::ready;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::body::MessageBody;
use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol, Request, Response};
use actix_server::Server;
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config,
};
use actix_web::dev::AppConfig;
use tokio::net::{TcpSocket, TcpStream};

use self::bounded_stream::{BoundedStream, Patience};
use self::places::Places;

/// How long clients are waited for. A head is a few hundred bytes: one that takes longer comes from somebody who wants
/// to hold the connection. An answer may be megabytes, on a slow line: with less, honest clients would lose long pages;
/// with more, those who never read hold buffers for longer.
pub const PATIENCE: Patience = Patience {
    head: Duration::from_secs(10),
    answer: Duration::from_mins(1),
    check_every: Duration::from_secs(2),
};
/// How long a connection on which nothing comes is kept for another request. Longer, and idle clients take the places
/// of others; shorter, and clients connect anew for each request.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long a client that was told that its connection ends may take to take notice, so that it reads the answer first.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections that the system holds for us until they are accepted: as many as actix-web asks for.
const BACKLOG: u32 = 1024;

/// Bounds of the connections, and of the stop.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How long clients are waited for.
    pub patience: Patience,
    /// How many connections each may have.
    pub places: Arc<Places>,
    /// Seconds that requests under way are given after SIGTERM.
    pub shutdown_seconds: u64,
}

/// Listens on an address; port 0 takes a free one.
///
/// # Errors
///
/// When it can't be listened on.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Else a restart would have to wait until the connections of before are forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Serves the application that `make_app` makes for each thread, until SIGTERM or SIGINT.
///
/// # Errors
///
/// When the listener is of no use.
pub fn serve<F, I, S, B>(listener: TcpListener, rules: &Rules, make_app: F) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    B: MessageBody + 'static,
{
    let address = listener.local_addr()?;
    let server = Server::build().shutdown_timeout(rules.shutdown_seconds);
    let stopping = server.graceful_shutdown_signal();
    let (patience, places) = (rules.patience, Arc::clone(&rules.places));
    let server = server.listen("reprise-api", listener, move || {
        let (stopping, places) = (stopping.clone(), Arc::clone(&places));
        let app = make_app().into_factory().map_err(|error| {
            let error: actix_web::Error = error.into();
            error.error_response()
        });
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(patience.head)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .local_addr(address)
            .on_connect_ext(|stream: &BoundedStream<TcpStream>, data| {
                data.insert(stream.exchange());
            })
            .finish(map_config(app, |()| AppConfig::default()));
        fn_service(move |stream| ready(admit(stream, &places, patience))).and_then(http)
    })?;
    Ok(server.run())
}

/// What a connection is served over. One that has no place is closed without a word: to say why would take what is
/// scarce.
fn admit(
    stream: TcpStream,
    places: &Arc<Places>,
    patience: Patience,
) -> Result<(BoundedStream<TcpStream>, Protocol, Option<SocketAddr>), DispatchError> {
    let peer = stream.peer_addr()?;
    let place = places
        .take(peer)
        .ok_or_else(|| io::Error::from(io::ErrorKind::QuotaExceeded))?;
    let stream = BoundedStream::new(stream, patience, place);
    Ok((stream, Protocol::Http1, Some(peer)))
}
