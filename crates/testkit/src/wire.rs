//! A way to PostgreSQL that counts: how often a program waits for an answer of the server.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

/// A proxy in front of a PostgreSQL server, stopped when dropped.
///
/// Programs that talk to it must not use TLS, since it reads along.
pub struct Wire {
    url: String,
    round_trips: Arc<AtomicUsize>,
    _accepting: AbortOnDropHandle<()>,
}

impl Wire {
    /// A proxy to the server that a `postgres://` URL names.
    ///
    /// # Panics
    ///
    /// When the URL names no host, or no port is free.
    pub async fn to(database_url: &str) -> Self {
        let mut url = Url::parse(database_url).expect("a URL");
        let server = format!(
            "{}:{}",
            url.host_str().expect("a host"),
            url.port().unwrap_or(5432)
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(port)).expect("a port");
        let round_trips = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&round_trips);
        let accepting = async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (server, counter) = (server.clone(), Arc::clone(&counter));
                connections.spawn(async move { relay(client, &server, &counter).await });
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "its handle is its owner, and aborts it when dropped"
        )]
        let accepting = AbortOnDropHandle::new(tokio::spawn(accepting));
        Self {
            url: url.to_string(),
            round_trips,
            _accepting: accepting,
        }
    }

    /// The URL to give to the program.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How often a client has waited for the server since this was called last.
    #[must_use]
    pub fn take_round_trips(&self) -> usize {
        self.round_trips.swap(0, Ordering::SeqCst)
    }
}

/// Carries one connection until either side closes it.
async fn relay(client: TcpStream, server: &str, round_trips: &AtomicUsize) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::select! {
        ended = tokio::io::copy(&mut from_server, &mut to_client) => ended.map(|_| ()),
        ended = count(&mut from_client, &mut to_server, round_trips) => ended,
    }
}

/// Carries what the client says, message by message (PostgreSQL's protocol, version 3): the first has a length and no
/// type; the server answers to Query and Sync.
async fn count(
    client: &mut (impl AsyncReadExt + Unpin),
    server: &mut (impl AsyncWriteExt + Unpin),
    round_trips: &AtomicUsize,
) -> io::Result<()> {
    let mut kind = None;
    loop {
        let length = client.read_u32().await?;
        let mut rest = vec![0; usize::try_from(length).unwrap_or(4).saturating_sub(4)];
        client.read_exact(&mut rest).await?;
        if matches!(kind, Some(b'Q' | b'S')) {
            round_trips.fetch_add(1, Ordering::SeqCst);
        }
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(&rest);
        server.write_all(&message).await?;
        kind = Some(client.read_u8().await?);
    }
}
