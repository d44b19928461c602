//! A verifier of Standard Webhooks signatures that shares no code with the signer.
//!
//! Written from the specification, <https://github.com/standard-webhooks/standard-webhooks>: the
//! signed content is `id.timestamp.body`, the key is what follows `whsec_` in Base64, and one
//! matching `v1` signature among those in `webhook-signature` is enough.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use time::{Duration, OffsetDateTime};

use crate::receiver::Received;

/// How far the timestamp may lie from the moment of receipt: what the reference libraries allow.
const TOLERANCE: Duration = Duration::minutes(5);

/// Checks the signature and the timestamp of a webhook against a `whsec_…` secret.
///
/// # Errors
///
/// What is missing or wrong, in words.
pub fn verify_standard(secret: &str, received: &Received) -> Result<(), String> {
    let id = required(received, "webhook-id")?;
    let timestamp = required(received, "webhook-timestamp")?;
    let signatures = required(received, "webhook-signature")?;
    check_timestamp(timestamp, received.received_at)?;
    let mac = Hmac::<Sha256>::new_from_slice(&key_of(secret)?)
        .map_err(|error| error.to_string())?
        .chain_update(format!("{id}.{timestamp}."))
        .chain_update(&received.body);
    let matches = |signature: &str| {
        signature
            .strip_prefix("v1,")
            .and_then(|encoded| STANDARD.decode(encoded).ok())
            .is_some_and(|signature| mac.clone().verify_slice(&signature).is_ok())
    };
    if signatures.split(' ').any(matches) {
        Ok(())
    } else {
        Err(format!("no signature in {signatures:?} matches the secret"))
    }
}

fn required<'a>(received: &'a Received, name: &str) -> Result<&'a str, String> {
    received
        .header(name)
        .ok_or_else(|| format!("the header {name} is missing"))
}

fn key_of(secret: &str) -> Result<Vec<u8>, String> {
    let encoded = secret
        .strip_prefix("whsec_")
        .ok_or("the secret does not begin with whsec_")?;
    STANDARD
        .decode(encoded)
        .map_err(|error| format!("the secret is not Base64: {error}"))
}

fn check_timestamp(timestamp: &str, received_at: OffsetDateTime) -> Result<(), String> {
    let sent_at = timestamp
        .parse()
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .ok_or_else(|| format!("webhook-timestamp {timestamp:?} is not in Unix seconds"))?;
    let distance = (received_at - sent_at).abs();
    if distance > TOLERANCE {
        return Err(format!("webhook-timestamp is off by {distance}"));
    }
    Ok(())
}
