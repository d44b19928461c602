//! The record of what a receiver got.

use std::{net::SocketAddr, time::Instant};

use hyper::body::Bytes;
use time::OffsetDateTime;

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// When its last byte had been read, for measuring distances.
    pub at: Instant,
    /// When its last byte had been read, by the wall clock.
    pub received_at: OffsetDateTime,
    /// The client's address; equal for requests that came over one connection.
    pub peer: SocketAddr,
    /// The method, `POST` for every webhook.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names, in lower case, and values, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The body's exact bytes.
    pub body: Bytes,
}

impl Received {
    /// The value of the first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("a body that is not JSON ({error}): {:?}", self.body))
    }
}

/// One line per request, for the message of a wait that was in vain.
pub(super) fn summary(received: &[Received]) -> String {
    let Some(first) = received.first() else {
        return "nothing came".to_owned();
    };
    let lines = received.iter().map(|request| {
        format!(
            "\n  +{:?} {} {} webhook-id={} attempt={} {} bytes",
            request.at - first.at,
            request.method,
            request.path,
            request.header("webhook-id").unwrap_or("-"),
            request.header("webhook-attempt").unwrap_or("-"),
            request.body.len(),
        )
    });
    format!("{} came:{}", received.len(), lines.collect::<String>())
}
