//! A receiver that costs next to nothing: a thread of its own that parses HTTP/1.1 by hand, and a ledger of what came.

mod connection;
mod lane;
mod ledger;

pub use self::{
    lane::{Behaviour, Lane},
    ledger::Verdict,
};

use std::{
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};
use tokio::{
    net::{TcpListener, TcpSocket},
    runtime::{self, Runtime},
    sync::oneshot,
};
use tokio_util::task::TaskTracker;

use crate::clock::Clock;

/// Connections that may wait to be accepted: more than any scenario opens at once, for one that is turned away tries
/// again only after a second.
const BACKLOG: u32 = 4_096;

/// A running sink. Path `/N` is its lane N; whatever else is posted is answered and not recorded.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    lanes: Arc<[Lane]>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    /// Starts a sink with a lane for each behaviour.
    pub fn start(clock: Clock, behaviours: &[Behaviour]) -> Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = listen(&runtime)?;
        let address = listener.local_addr()?;
        let lanes: Arc<[Lane]> = behaviours.iter().map(|one| Lane::new(*one)).collect();
        let (stop, stopped) = oneshot::channel();
        let serving = serve(listener, Arc::clone(&lanes), clock);
        let thread = thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serving => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            lanes,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a lane.
    pub fn url(&self, lane: usize) -> String {
        format!("http://{}/{lane}", self.address)
    }

    /// A lane, to ask what came.
    pub fn lane(&self, lane: usize) -> &Lane {
        &self.lanes[lane]
    }

    /// All lanes.
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(runtime: &Runtime) -> Result<TcpListener> {
    let _context = runtime.enter();
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(BACKLOG).context("the sink listens")
}

/// Accepts connections for ever; whoever drops the runtime ends them.
async fn serve(listener: TcpListener, lanes: Arc<[Lane]>, clock: Clock) {
    let connections = TaskTracker::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            // Out of file descriptors: some connection has to end first.
            tokio::task::yield_now().await;
            continue;
        };
        let lanes = Arc::clone(&lanes);
        connections.spawn(async move {
            // A peer that goes away in the middle is a dispatcher that was killed.
            let _ = connection::serve(socket, &lanes, clock).await;
        });
    }
}
