//! A real HTTP(S) server on a free loopback port, with a script and a record.

mod answer;
mod connection;
mod received;
mod script;
mod tls;

pub use self::{answer::Answer, received::Received, tls::Certificate};

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use self::{script::Script, tls::Tls};
use crate::polling;

/// Where receivers listen unless a test says otherwise.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Accepts any request, records it, and answers as scripted: 200 where the script says nothing.
///
/// It stops listening and closes its connections when dropped.
#[derive(Debug)]
pub struct Receiver {
    origin: String,
    address: SocketAddr,
    script: Arc<Script>,
    record: watch::Receiver<Vec<Received>>,
    tls: Option<Tls>,
    /// The accept loop, which owns the connections. Dropping the set aborts all of them.
    _server: JoinSet<()>,
}

/// Whether a receiver remembers what it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Record {
    Kept,
    Forgotten,
}

impl Receiver {
    /// Starts a receiver of plain HTTP/1.1.
    ///
    /// # Panics
    ///
    /// When no port can be had.
    pub async fn start() -> Self {
        Self::listen(LOOPBACK, None, Record::Kept).await
    }

    /// Starts a receiver of plain HTTP/1.1 that forgets what it was sent: for those who count by
    /// themselves ([`Receiver::answer_by_default`]) and run for long.
    ///
    /// # Panics
    ///
    /// When no port can be had.
    pub async fn start_without_record() -> Self {
        Self::start_without_record_at(LOOPBACK).await
    }

    /// [`Receiver::start_without_record`] at another address of this machine than loopback's.
    ///
    /// # Panics
    ///
    /// When no port can be had there.
    pub async fn start_without_record_at(address: IpAddr) -> Self {
        Self::listen(address, None, Record::Forgotten).await
    }

    /// Starts a receiver of HTTPS whose certificate is for `names` (DNS names or IP addresses)
    /// and signed by a test authority of its own, see [`Receiver::ca_pem_path`].
    ///
    /// # Panics
    ///
    /// When `names` is empty or the certificate cannot be made.
    pub async fn start_tls(names: &[&str]) -> Self {
        Self::start_tls_with(names, Certificate::Valid).await
    }

    /// [`Receiver::start_tls`] with a certificate that may not hold.
    ///
    /// # Panics
    ///
    /// When `names` is empty or the certificate cannot be made.
    pub async fn start_tls_with(names: &[&str], certificate: Certificate) -> Self {
        let tls = Tls::for_names(names, certificate);
        Self::listen(LOOPBACK, Some(tls), Record::Kept).await
    }

    async fn listen(address: IpAddr, tls: Option<Tls>, kept: Record) -> Self {
        let listener = TcpListener::bind((address, 0))
            .await
            .unwrap_or_else(|error| panic!("no port of {address}: {error}"));
        let address = listener.local_addr().expect("a listener has an address");
        let origin = match &tls {
            Some(tls) => format!("https://{}:{}", tls.first_name(), address.port()),
            None => format!("http://{address}"),
        };
        let script = Arc::new(Script::default());
        let (recorder, record) = watch::channel(Vec::new());
        let acceptor = tls.as_ref().map(Tls::acceptor);
        let mut server = JoinSet::new();
        server.spawn(accept(
            listener,
            acceptor,
            Arc::clone(&script),
            Arc::new(recorder),
            kept,
        ));
        Self {
            origin,
            address,
            script,
            record,
            tls,
            _server: server,
        }
    }

    /// The URL of `path` on this receiver; with TLS its host is the first name of the certificate.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file with the certificate of the authority that a client must trust, in PEM.
    ///
    /// # Panics
    ///
    /// When the receiver was started without TLS.
    #[must_use]
    pub fn ca_pem_path(&self) -> &Path {
        self.tls
            .as_ref()
            .expect("only a receiver with TLS has an authority")
            .ca_pem_path()
    }

    /// Scripts the answers for all paths that have no script of their own.
    ///
    /// They are given in turn; the last one repeats. A new script replaces the former one.
    pub fn answer(&self, answers: impl Into<Vec<Answer>>) {
        self.script.set_default(answers.into());
    }

    /// Scripts the answers for one path, as [`Receiver::answer`] does for the others.
    pub fn answer_on(&self, path: &str, answers: impl Into<Vec<Answer>>) {
        self.script.set(path, answers.into());
    }

    /// Answers every request on `path` with what `decide` makes of it.
    pub fn answer_by(
        &self,
        path: &str,
        decide: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) {
        self.script.set_decision(path, Arc::new(decide));
    }

    /// Answers every request on paths without a script of their own with what `decide` makes of it.
    pub fn answer_by_default(&self, decide: impl Fn(&Received) -> Answer + Send + Sync + 'static) {
        self.script.set_default_decision(Arc::new(decide));
    }

    /// Everything received so far, oldest first.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.record.borrow().clone()
    }

    /// Waits until at least `count` requests have come, and returns all of them.
    ///
    /// # Panics
    ///
    /// When `timeout` is over first.
    pub async fn wait_for(&self, count: usize, timeout: Duration) -> Vec<Received> {
        self.try_wait_until(|received| received.len() >= count, timeout)
            .await
            .unwrap_or_else(|received| {
                panic!(
                    "waited {timeout:?} for {count} requests at {}, but {}",
                    self.origin,
                    received::summary(&received)
                )
            })
    }

    /// Waits until `condition` holds for all that was received, and returns it.
    ///
    /// # Panics
    ///
    /// When `timeout` is over first.
    pub async fn wait_until(
        &self,
        condition: impl Fn(&[Received]) -> bool,
        timeout: Duration,
    ) -> Vec<Received> {
        self.try_wait_until(condition, timeout)
            .await
            .unwrap_or_else(|received| {
                panic!(
                    "waited {timeout:?} for a condition at {}, but {}",
                    self.origin,
                    received::summary(&received)
                )
            })
    }

    /// [`Receiver::wait_until`] for those who can do something about it.
    ///
    /// # Errors
    ///
    /// What was received, when `timeout` is over before the condition holds.
    pub async fn try_wait_until(
        &self,
        condition: impl Fn(&[Received]) -> bool,
        timeout: Duration,
    ) -> Result<Vec<Received>, Vec<Received>> {
        let mut record = self.record.clone();
        let waiting = record.wait_for(|received| condition(received));
        match polling::wait_for(timeout, waiting).await {
            Some(Ok(received)) => Ok(received.clone()),
            Some(Err(_)) | None => Err(self.received()),
        }
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    script: Arc<Script>,
    recorder: Arc<watch::Sender<Vec<Received>>>,
    kept: Record,
) {
    let mut connections = JoinSet::new();
    // A failed accept is the client's doing, or ends with the test process; neither is ours to mend.
    while let Ok((socket, peer)) = listener.accept().await {
        let handler = connection::Handler {
            peer,
            script: Arc::clone(&script),
            recorder: (kept == Record::Kept).then(|| Arc::clone(&recorder)),
        };
        connections.spawn(handler.serve(socket, acceptor.clone()));
        while connections.try_join_next().is_some() {}
    }
}
