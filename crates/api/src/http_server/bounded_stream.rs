//! A connection that its client cannot hold for as long as it likes.
//!
//! actix-http watches the head of the first request only: one byte of a second one, and nothing ends the connection any
//! more. Neither does it watch a client that does not read its answer, nor one that goes on sending a body which nobody
//! reads since the answer was an early refusal. What is common to all of these can be seen from below, by who is
//! waiting for whom.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::places::Place;

/// How long a client is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the whole head of a request, from when the connection was opened or the last answer was sent. What is left
    /// of a body that nobody reads has to come within it, too.
    pub head: Duration,
    /// For a client that does not take an answer as fast as it is written, until it has taken all that is written.
    pub answer: Duration,
    /// How often a connection is looked at; it may last so much longer. One timer for each connection and none for each
    /// request is what this costs.
    pub check_every: Duration,
}

/// Who waits for whom on one connection. The application tells when it works on a request.
#[derive(Debug)]
pub struct Exchange {
    /// Since when a request is awaited; `None` while the application works on one.
    awaiting_since: Cell<Option<Instant>>,
}

impl Exchange {
    /// The application has a request; it answers when what is returned is dropped. Until then the client is not waited
    /// for: bodies and everything else have deadlines of their own there.
    #[must_use]
    pub fn begin_request(self: &Rc<Self>) -> RequestUnderWay {
        self.awaiting_since.set(None);
        RequestUnderWay(Rc::clone(self))
    }

    fn await_request(&self) {
        self.awaiting_since.set(Some(Instant::now()));
    }
}

/// A request that the application works on.
#[derive(Debug)]
pub struct RequestUnderWay(Rc<Exchange>);

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        self.0.await_request();
    }
}

/// Bytes that a connection reads in one turn. More, and a client that sends faster than we read, such as a chunk
/// extension without an end, keeps its worker from all other connections; fewer, and large bodies cost more turns.
const TURN_BYTES: usize = 64 * 1024;

/// A stream that fails with [`io::ErrorKind::TimedOut`] when its client has been waited for too long.
#[derive(Debug)]
pub struct BoundedStream<S> {
    stream: S,
    exchange: Rc<Exchange>,
    patience: Patience,
    checks: Interval,
    has_written: bool,
    /// Bytes read since it last had to wait.
    read_in_turn: usize,
    /// Since when the client does not take what is written.
    blocked_since: Option<Instant>,
    /// Given back with the connection.
    _place: Place,
}

impl<S> BoundedStream<S> {
    /// A stream whose first request is awaited from now on.
    pub fn new(stream: S, patience: Patience, place: Place) -> Self {
        let now = Instant::now();
        let mut checks = interval_at(now + patience.check_every, patience.check_every);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            stream,
            exchange: Rc::new(Exchange {
                awaiting_since: Cell::new(Some(now)),
            }),
            patience,
            checks,
            has_written: false,
            read_in_turn: 0,
            blocked_since: None,
            _place: place,
        }
    }

    /// What the application tells of requests.
    pub fn exchange(&self) -> Rc<Exchange> {
        Rc::clone(&self.exchange)
    }

    /// Fails when the client has been waited for too long, and else sees to it that the caller is woken for the next
    /// look. A client that is not reading is not expected to send either.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.checks.poll_tick(cx).is_ready() {
            let (since, patience) = match self.blocked_since {
                Some(since) => (Some(since), self.patience.answer),
                None => (self.exchange.awaiting_since.get(), self.patience.head),
            };
            if since.is_some_and(|since| since.elapsed() >= patience) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundedStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(cx)?;
        if this.read_in_turn >= TURN_BYTES {
            // actix-http reads until there is nothing to read.
            this.read_in_turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        this.read_in_turn = match read {
            Poll::Ready(_) => this.read_in_turn + (buffer.filled().len() - before),
            Poll::Pending => 0,
        };
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BoundedStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if written.is_ready() {
            this.has_written = true;
        } else {
            this.blocked_since.get_or_insert_with(Instant::now);
            this.check(cx)?;
        }
        written
    }

    /// actix-http flushes when all that it has was taken: a client that reads drop by drop does not begin anew with
    /// each.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        if this.has_written && flushed.is_ready() {
            this.has_written = false;
            this.blocked_since = None;
            if this.exchange.awaiting_since.get().is_some() {
                this.exchange.await_request();
            }
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures_util::FutureExt;
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::http_server::places::Places;

    #[tokio::test]
    async fn client_that_sends_faster_than_we_read_gives_others_their_turn() {
        let hour = Duration::from_hours(1);
        let patience = Patience {
            head: hour,
            answer: hour,
            check_every: hour,
        };
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let place = Places::new(1, Vec::new(), Counter::default()).take(peer);
        let endless = tokio::io::repeat(b'x');
        let mut stream = BoundedStream::new(endless, patience, place.expect("a place"));
        let mut reading = Box::pin(async {
            let mut buffer = [0; 1024];
            for _ in 0..TURN_BYTES * 3 / 2 / buffer.len() {
                stream.read_exact(&mut buffer).await.expect("read");
            }
        });
        assert!(reading.as_mut().now_or_never().is_none(), "its turn ends");
        reading.await;
    }
}
