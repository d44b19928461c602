//! A request as bytes, with places for the stamps of its events.

use std::net::SocketAddr;

use crate::stamp::{Stamp, payload};

/// A prebuilt request.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Request {
    /// Publishes one event with a payload of some size.
    pub fn publish(api: SocketAddr, api_key: &str, event_type: &str, payload_bytes: usize) -> Self {
        let body = event(event_type, payload_bytes);
        Self::post(api, "/v1/webhooks/events", api_key, &body)
    }

    /// Publishes a batch of such events.
    pub fn publish_batch(
        api: SocketAddr,
        api_key: &str,
        event_type: &str,
        payload_bytes: usize,
        events: usize,
    ) -> Self {
        let events = vec![event(event_type, payload_bytes); events];
        let body = format!("[{}]", events.join(","));
        Self::post(api, "/v1/webhooks/events/batch", api_key, &body)
    }

    fn post(host: SocketAddr, path: &str, api_key: &str, body: &str) -> Self {
        let bytes = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nx-api-key: {api_key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes();
        let places = Stamp::places(&bytes);
        Self { bytes, places }
    }

    /// How many events it publishes.
    pub(super) fn events(&self) -> u64 {
        u64::try_from(self.places.len()).unwrap_or(u64::MAX)
    }

    /// The bytes to send, with consecutive numbers for its events.
    pub(super) fn stamped(&mut self, first: Stamp) -> &[u8] {
        let mut stamp = first;
        for place in &self.places {
            stamp.write(&mut self.bytes, *place);
            stamp.sequence += 1;
        }
        &self.bytes
    }
}

fn event(event_type: &str, payload_bytes: usize) -> String {
    let payload = payload(payload_bytes);
    format!(r#"{{"event_type":"{event_type}","payload":{payload}}}"#)
}
