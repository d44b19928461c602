//! A way to PostgreSQL that lets a program ask the server so many times and no more, and loses an answer when told to.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
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
struct Watch {
    round_trips: watch::Sender<RoundTrips>,
    /// A text; the answer to the first message that holds it is lost, and so is its connection.
    doomed: Mutex<Option<Vec<u8>>>,
}

/// Messages that the server answers: to each a client waits for the answer.
#[derive(Clone, Copy)]
struct RoundTrips {
    /// How many were passed on.
    passed: usize,
    /// How many may be, in all.
    allowed: usize,
}

impl Watch {
    /// Waits until another message may be passed on, and counts it.
    async fn pass(&self) {
        let mut changes = self.round_trips.subscribe();
        let count = |trips: &mut RoundTrips| {
            let may_pass = trips.passed < trips.allowed;
            trips.passed += usize::from(may_pass);
            may_pass
        };
        while !self.round_trips.send_if_modified(count) {
            changes.changed().await.expect("the sender is ours");
        }
    }

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
        let watch = Arc::new(Watch {
            round_trips: watch::Sender::new(RoundTrips {
                passed: 0,
                allowed: usize::MAX,
            }),
            doomed: Mutex::default(),
        });
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

    /// How often the server was asked so far.
    #[must_use]
    pub fn round_trips(&self) -> usize {
        self.watch.round_trips.borrow().passed
    }

    /// Lets the server be asked `count` times more; what is asked then waits for [`open`](Self::open).
    pub fn close_after(&self, count: usize) {
        self.watch
            .round_trips
            .send_modify(|trips| trips.allowed = trips.passed.saturating_add(count));
    }

    /// Lets the server be asked as often as anybody likes, as in the beginning.
    pub fn open(&self) {
        self.close_after(usize::MAX);
    }

    /// Loses the server's answer to the next message that holds `text`, and closes the connection: the server has done
    /// what it was asked, and the client does not know.
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
            watch.pass().await;
        }
        is_doomed.fetch_or(watch.dooms(&rest), Ordering::SeqCst);
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(&rest);
        server.write_all(&message).await?;
        kind = Some(client.read_u8().await?);
    }
}
