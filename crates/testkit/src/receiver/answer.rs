//! What a receiver can answer, well-behaved or not.

use std::time::Duration;

use hyper::body::Bytes;

/// One answer of a scripted receiver.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) delay: Duration,
    pub(super) ending: Ending,
}

/// How the exchange goes on after the request has been read.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    Body(Bytes),
    /// The status line never comes.
    Hang,
    /// A body of one byte after each pause, without end.
    Drip(Duration),
    /// A body without end, as fast as the client reads.
    EndlessBody,
    /// The TCP connection is reset.
    Reset,
}

impl Answer {
    /// An empty response with this status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::ending(status, Ending::Body(Bytes::new()))
    }

    /// A redirect to `location`.
    #[must_use]
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::status(status).header("location", location)
    }

    /// Keeps the connection open and never answers.
    #[must_use]
    pub fn hang() -> Self {
        Self::ending(200, Ending::Hang)
    }

    /// Answers 200 at once, then one byte of the body after each `pause`, without end.
    #[must_use]
    pub fn drip(pause: Duration) -> Self {
        Self::ending(200, Ending::Drip(pause))
    }

    /// Answers 200 and a body that never ends, as fast as the client reads it.
    #[must_use]
    pub fn endless_body() -> Self {
        Self::ending(200, Ending::EndlessBody)
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Resets the TCP connection after reading the request.
    #[must_use]
    pub fn reset() -> Self {
        Self::ending(200, Ending::Reset)
    }

    /// Adds a response header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body; an answer that does something else instead becomes an ordinary response.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.ending = Ending::Body(body.into());
        self
    }

    /// Waits this long before anything is answered.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Whether the client will take it for a success, if it gets it.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status) && matches!(self.ending, Ending::Body(_))
    }

    fn ending(status: u16, ending: Ending) -> Self {
        Self {
            status,
            headers: Vec::new(),
            delay: Duration::ZERO,
            ending,
        }
    }
}

impl From<Answer> for Vec<Answer> {
    fn from(answer: Answer) -> Self {
        vec![answer]
    }
}
