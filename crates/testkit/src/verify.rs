//! Verifiers of signatures that share no code with the signer.
//!
//! Standard Webhooks' is written from the specification, <https://github.com/standard-webhooks/standard-webhooks>: the
//! signed content is `id.timestamp.body`, the key is what follows `whsec_` (or `whpk_`) in Base64, and
//! one matching `v1` (or `v1a`) signature among those in `webhook-signature` is enough.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use time::{Duration, OffsetDateTime};

use crate::receiver::Received;

/// How far the timestamp may lie from the moment of receipt: what the reference libraries allow.
const TOLERANCE: Duration = Duration::minutes(5);

/// Checks the signature and the timestamp of a webhook against a `whsec_…` secret or a `whpk_…` public key.
///
/// # Errors
///
/// What is missing or wrong, in words.
pub fn verify_standard(key: &str, received: &Received) -> Result<(), String> {
    let id = required(received, "webhook-id")?;
    let timestamp = required(received, "webhook-timestamp")?;
    let signatures = required(received, "webhook-signature")?;
    check_timestamp(timestamp, received.received_at)?;
    let mut content = format!("{id}.{timestamp}.").into_bytes();
    content.extend_from_slice(&received.body);
    let matches = match key.strip_prefix("whpk_") {
        Some(public_key) => any_asymmetric(signatures, &decode(public_key)?, &content),
        None => any_symmetric(signatures, &key_of(key)?, &content)?,
    };
    if matches {
        Ok(())
    } else {
        Err(format!("no signature in {signatures:?} matches the key"))
    }
}

/// Checks the one signature of the schemes that are keyed with the secret's own bytes: `t=<unix>,v1=<hex>` over that
/// time and the body, or anything and `<hex>` over the body alone.
///
/// # Errors
///
/// What is missing or wrong, in words.
pub fn verify_plain(secret: &str, received: &Received, header: &str) -> Result<(), String> {
    let value = required(received, header)?;
    let mut content = Vec::new();
    if let Some((timestamp, _)) = value
        .strip_prefix("t=")
        .and_then(|rest| rest.split_once(','))
    {
        check_timestamp(timestamp, received.received_at)?;
        content.extend_from_slice(format!("{timestamp}.").as_bytes());
    }
    content.extend_from_slice(&received.body);
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map_err(|error| error.to_string())?
        .chain_update(content);
    let tag = mac.finalize().into_bytes();
    let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
    if value.ends_with(&hex) {
        Ok(())
    } else {
        Err(format!("the signature {value:?} does not match the secret"))
    }
}

/// The signatures of one version.
fn of_version<'a>(signatures: &'a str, version: &'a str) -> impl Iterator<Item = Vec<u8>> + 'a {
    signatures.split(' ').filter_map(move |signature| {
        let (name, encoded) = signature.split_once(',')?;
        (name == version).then(|| STANDARD.decode(encoded).ok())?
    })
}

fn any_symmetric(signatures: &str, key: &[u8], content: &[u8]) -> Result<bool, String> {
    let mac = Hmac::<Sha256>::new_from_slice(key)
        .map_err(|error| error.to_string())?
        .chain_update(content);
    Ok(of_version(signatures, "v1").any(|tag| mac.clone().verify_slice(&tag).is_ok()))
}

fn any_asymmetric(signatures: &str, public_key: &[u8], content: &[u8]) -> bool {
    let key = UnparsedPublicKey::new(&ED25519, public_key);
    of_version(signatures, "v1a").any(|signature| key.verify(content, &signature).is_ok())
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
    decode(encoded)
}

fn decode(encoded: &str) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(encoded)
        .map_err(|error| format!("the key is not Base64: {error}"))
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
