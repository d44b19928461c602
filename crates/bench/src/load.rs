//! The load generator: prebuilt requests over kept-alive connections, from a thread of its own.

mod connection;
mod pace;
mod request;

pub use self::{
    pace::{Pace, Until},
    request::Request,
};

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{runtime, sync::oneshot, task::JoinSet};

use self::{connection::Connection, pace::Turns};
use crate::clock::{Clock, between};

/// Numbers for events, shared by all loads that go to one sink.
#[derive(Clone, Debug, Default)]
pub struct Sequence(Arc<AtomicU64>);

impl Sequence {
    /// Draws some numbers; returns the first.
    fn draw(&self, count: u64) -> u64 {
        self.0.fetch_add(count, Ordering::Relaxed)
    }
}

/// Requests to send.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to: the connections go to each of them in turn.
    pub targets: Vec<SocketAddr>,
    /// What: each connection sends one of them again and again, the connections each of them in turn.
    pub requests: Vec<Request>,
    /// Over how many connections at a time.
    pub connections: usize,
    /// How fast.
    pub pace: Pace,
    /// The status that each must be answered with.
    pub expected_status: u16,
    /// Where the events' numbers come from.
    pub sequence: Sequence,
    /// What their times are taken from.
    pub clock: Clock,
}

/// What has been sent and answered.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// The numbers of the events that were accepted.
    pub sequences: Vec<u64>,
    /// From the time at which a request was to be sent to its answer.
    pub latencies: Vec<Duration>,
    /// When the first request was to be sent.
    pub began_ns: u64,
    /// When the last answer came.
    pub ended_ns: u64,
}

impl Sent {
    /// From the first request to the last answer.
    pub fn duration(&self) -> Duration {
        between(self.began_ns, self.ended_ns)
    }
}

impl Load {
    /// The same over another number of connections.
    pub fn with_connections(self, connections: usize) -> Self {
        Self {
            connections,
            ..self
        }
    }

    /// Sends all of it.
    ///
    /// # Errors
    ///
    /// When a connection fails, or an answer has another status than expected.
    pub async fn run(self) -> Result<Sent> {
        let (report, reported) = oneshot::channel();
        thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || {
                // Nobody listens any more where the bench has failed elsewhere.
                let _ = report.send(self.run_on_this_thread());
            })?;
        reported.await.context("the load generator's thread")?
    }

    fn run_on_this_thread(self) -> Result<Sent> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.send())
    }

    async fn send(self) -> Result<Sent> {
        let mut opened = Vec::with_capacity(self.connections);
        let ends = self
            .targets
            .iter()
            .cycle()
            .zip(self.requests.iter().cycle());
        for (target, request) in ends.take(self.connections) {
            opened.push(Connection::open(&self, *target, request.clone()).await?);
        }
        let began_ns = self.clock.now_ns();
        let turns = Arc::new(Turns::start(self.pace, self.connections, self.clock)?);
        let mut connections = JoinSet::new();
        for connection in opened {
            connections.spawn(connection.run(Arc::clone(&turns)));
        }
        let mut all = Sent {
            began_ns,
            ended_ns: began_ns,
            ..Sent::default()
        };
        while let Some(sent) = connections.join_next().await {
            let sent = sent.context("a connection of the load generator")??;
            all.sequences.extend(sent.sequences);
            all.latencies.extend(sent.latencies);
            all.ended_ns = all.ended_ns.max(sent.ended_ns);
        }
        Ok(all)
    }
}
