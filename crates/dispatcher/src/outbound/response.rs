//! What is read of a response, and what is kept of it.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{HeaderMap, Response};
use reprise_core::attempt::{KEPT_BODY_BYTES, RecordedResponse};

/// Bytes of a response body that are read at most. More would let a receiver hold its slot; fewer would close
/// connections that could be used again, since only one whose response was read to its end can be.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Bytes of names and values of headers that are kept at most: those that fit, in their order. As much as of a body;
/// more, and each of a delivery's attempts may keep what the client reads at most, three times over where bytes are no
/// UTF-8.
const KEPT_HEADER_BYTES: usize = 16 * 1024;

/// What is kept of a response before its body.
pub(super) fn record_head(response: &Response<Incoming>) -> RecordedResponse {
    RecordedResponse {
        status: response.status().as_u16(),
        headers: joined(response.headers()),
        body: Vec::new(),
        body_truncated: false,
    }
}

/// Names and values as text, as far as they are kept; the values of a name are joined as RFC 9110 section 5.3 says.
/// Text is what PostgreSQL can store: bytes that are no UTF-8 are replaced.
fn joined(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut room = KEPT_HEADER_BYTES;
    headers
        .keys()
        .map(|name| {
            let values: Vec<_> = headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).replace('\0', ""))
                .collect();
            (name.as_str().to_owned(), values.join(", "))
        })
        .filter(|(name, value)| {
            let left = room.checked_sub(name.len() + value.len());
            room = left.unwrap_or(room);
            left.is_some()
        })
        .collect()
}

/// Reads a body to its end or to the bound, whichever comes first, and keeps its beginning.
pub(super) async fn read_body(
    mut body: Incoming,
    recorded: &mut RecordedResponse,
) -> Result<(), hyper::Error> {
    let mut read_bytes = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        let room = KEPT_BODY_BYTES - recorded.body.len();
        let kept = data.get(..room).unwrap_or(data);
        recorded.body.extend_from_slice(kept);
        recorded.body_truncated |= kept.len() < data.len();
        read_bytes = read_bytes.saturating_add(data.len());
        if read_bytes >= MAX_BODY_BYTES {
            break;
        }
    }
    Ok(())
}
