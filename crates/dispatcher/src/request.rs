//! The request of an attempt: the contract's "What a receiver gets".

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Request};
use reprise_core::signing::{SignedMessage, sign};
use reprise_core::store::delivery_queue::Claim;
use time::OffsetDateTime;

use crate::targets::Target;

const USER_AGENT_VALUE: HeaderValue =
    HeaderValue::from_static(concat!("Reprise/", env!("CARGO_PKG_VERSION")));
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_DELIVERY_ID: HeaderName = HeaderName::from_static("webhook-delivery-id");
const WEBHOOK_ATTEMPT: HeaderName = HeaderName::from_static("webhook-attempt");
const WEBHOOK_EVENT_TYPE: HeaderName = HeaderName::from_static("webhook-event-type");
const WEBHOOK_REPLAY_OF: HeaderName = HeaderName::from_static("webhook-replay-of");

/// What a request says besides its target's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) event_type: &'a str,
    pub(crate) payload: &'a Bytes,
    /// When it is sent, by the wall clock: receivers compare it with theirs.
    pub(crate) sent_at: OffsetDateTime,
}

/// Builds and signs a request.
///
/// # Errors
///
/// What was stored can't be sent: a header or a secret that the domain would have refused.
pub(crate) fn build(
    claim: &Claim,
    target: &Target,
    envelope: &Envelope<'_>,
) -> Result<Request<Full<Bytes>>> {
    let mut request = Request::new(Full::new(envelope.payload.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.url.clone();
    *request.headers_mut() = headers(claim, target, envelope)?;
    Ok(request)
}

fn headers(claim: &Claim, target: &Target, envelope: &Envelope<'_>) -> Result<HeaderMap> {
    let id = claim.event_id.to_string();
    let timestamp = envelope.sent_at.unix_timestamp();
    let message = SignedMessage {
        id: &id,
        timestamp,
        body: envelope.payload,
    };
    let signature = sign(&target.signature, &target.live_secrets(), &message).context("signing")?;

    let mut headers = HeaderMap::with_capacity(12 + target.custom_headers.len());
    // Custom headers first: none of them can replace one of ours.
    for (name, value) in &target.custom_headers {
        headers.insert(name.clone(), value.clone());
    }
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(USER_AGENT, USER_AGENT_VALUE);
    headers.insert(WEBHOOK_ID, text(&id)?);
    headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(timestamp));
    headers.insert(WEBHOOK_DELIVERY_ID, text(&claim.delivery_id.to_string())?);
    headers.insert(WEBHOOK_ATTEMPT, HeaderValue::from(claim.attempt_number));
    headers.insert(WEBHOOK_EVENT_TYPE, text(envelope.event_type)?);
    if let Some(replayed) = claim.replay_of {
        headers.insert(WEBHOOK_REPLAY_OF, text(&replayed.to_string())?);
    }
    let signature_name = HeaderName::from_bytes(signature.name.as_bytes())?;
    headers.insert(signature_name, text(&signature.value)?);
    Ok(headers)
}

fn text(value: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(value).context("a header's value")
}

/// The headers as they are kept with the attempt: custom ones may carry credentials, and are redacted.
pub(crate) fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let kept = if value.is_sensitive() {
                "[redacted]".into()
            } else {
                String::from_utf8_lossy(value.as_bytes())
            };
            (name.as_str().to_owned(), kept.into_owned())
        })
        .collect()
}
