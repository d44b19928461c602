//! A way to PostgreSQL that counts how often a program waits for an answer of the server, and loses one when told to.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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
    watch: Arc<Watch>,
    _accepting: AbortOnDropHandle<()>,
}

/// What all connections share.
#[derive(Default)]
struct Watch {
    round_trips: AtomicUsize,
    /// A text; the answer to the first message that holds it is lost, and so is its connection.
    doomed: Mutex<Option<Vec<u8>>>,
}

impl Watch {
    /// Whether a message is the one whose answer is to be lost; no later one is then.
    fn dooms(&self, message: &[u8]) -> bool {
        let mut doomed = self.doomed.lock().expect("nobody panics with it");
        let is_it = doomed
            .as_ref()
            .is_some_and(|text| message.windows(text.len()).any(|part| part == text));
        if is_it {
            *doomed = None;
        }
        is_it
    }
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
        let watch = Arc::new(Watch::default());
        let shared = Arc::clone(&watch);
        let accepting = async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (server, watch) = (server.clone(), Arc::clone(&shared));
                connections.spawn(async move { relay(client, &server, &watch).await });
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "its handle is its owner, and aborts it when dropped"
        )]
        let accepting = AbortOnDropHandle::new(tokio::spawn(accepting));
        Self {
            url: url.to_string(),
            watch,
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
        self.watch.round_trips.swap(0, Ordering::SeqCst)
    }

    /// Loses the server's answer to the next message that holds `text`, and closes the connection: the server has done what
    /// it was asked, and the client does not know.
    ///
    /// # Panics
    ///
    /// When a connection's task has panicked.
    pub fn lose_answer_to(&self, text: &str) {
        *self.watch.doomed.lock().expect("nobody panics with it") = Some(text.into());
    }
}

/// Carries one connection until either side closes it, or an answer is lost.
async fn relay(client: TcpStream, server: &str, watch: &Watch) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is_doomed = AtomicBool::new(false);
    let answering = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = from_server.read(&mut buffer).await?;
            if length == 0 || is_doomed.load(Ordering::SeqCst) {
                return Ok(());
            }
            to_client.write_all(&buffer[..length]).await?;
        }
    };
    tokio::select! {
        ended = answering => ended,
        ended = count(&mut from_client, &mut to_server, watch, &is_doomed) => ended,
    }
}

/// Carries what the client says, message by message (PostgreSQL's protocol, version 3): the first has a length and no
/// type; the server answers to Query and Sync.
async fn count(
    client: &mut (impl AsyncReadExt + Unpin),
    server: &mut (impl AsyncWriteExt + Unpin),
    watch: &Watch,
    is_doomed: &AtomicBool,
) -> io::Result<()> {
    let mut kind = None;
    loop {
        let length = client.read_u32().await?;
        let mut rest = vec![0; usize::try_from(length).unwrap_or(4).saturating_sub(4)];
        client.read_exact(&mut rest).await?;
        if matches!(kind, Some(b'Q' | b'S')) {
            watch.round_trips.fetch_add(1, Ordering::SeqCst);
        }
        is_doomed.fetch_or(watch.dooms(&rest), Ordering::SeqCst);
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(&rest);
        server.write_all(&message).await?;
        kind = Some(client.read_u8().await?);
    }
}
