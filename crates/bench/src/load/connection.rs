//! One connection of the load generator: one request at a time.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Load, Request, Sent, Sequence, pace::Turns};
use crate::{
    clock::{Clock, between},
    http1::{find_frame, status},
    stamp::Stamp,
};

/// Holds the answer to any request but a large batch.
const BUFFER_BYTES: usize = 4_096;

pub(super) struct Connection {
    socket: TcpStream,
    request: Request,
    answer: Vec<u8>,
    expected_status: u16,
    sequence: Sequence,
    clock: Clock,
}

impl Connection {
    pub(super) async fn open(load: &Load, target: SocketAddr, request: Request) -> Result<Self> {
        let socket = TcpStream::connect(target)
            .await
            .with_context(|| format!("connecting to {target}"))?;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            request,
            answer: Vec::with_capacity(BUFFER_BYTES),
            expected_status: load.expected_status,
            sequence: load.sequence.clone(),
            clock: load.clock,
        })
    }

    /// Sends a request whenever it is its turn, until there are no more turns.
    pub(super) async fn run(mut self, turns: Arc<Turns>) -> Result<Sent> {
        let mut sent = Sent::default();
        let events = self.request.events();
        while let Some(published_ns) = turns.next(events).await {
            let sequence = self.sequence.draw(events);
            let stamp = Stamp {
                sequence,
                published_ns,
            };
            self.socket.write_all(self.request.stamped(stamp)).await?;
            self.read_answer().await?;
            sent.ended_ns = self.clock.now_ns();
            sent.sequences.extend(sequence..sequence + events);
            sent.latencies.push(between(published_ns, sent.ended_ns));
        }
        Ok(sent)
    }

    async fn read_answer(&mut self) -> Result<()> {
        self.answer.clear();
        while find_frame(&self.answer).is_none() {
            let read = self.socket.read_buf(&mut self.answer).await?;
            ensure!(read > 0, "the connection was closed before the answer");
        }
        ensure!(
            status(&self.answer) == Some(self.expected_status),
            "expected {}, got: {}",
            self.expected_status,
            String::from_utf8_lossy(&self.answer)
        );
        Ok(())
    }
}
