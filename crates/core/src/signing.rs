//! Signing a request, so that its receiver can tell it from a forged one.
//!
//! [`SignatureScheme::Standard`] is [Standard Webhooks 1.0][spec]. The other two schemes exist for
//! receivers that were written against the services whose API Reprise speaks, and against the many
//! that sign the body alone.
//!
//! [spec]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

pub use self::prefix::{SignaturePrefix, SignaturePrefixError};
pub use self::rotation::{Overlap, PreviousSecret, RotationRefusal, SigningSecrets};
pub use self::scheme::{SchemeConflict, SchemeConflicts, SchemeOptions, SignatureScheme};
pub use self::secret::{SigningSecret, SigningSecretError};
pub use self::standard_key::StandardKeyError;
pub use self::words::{SchemeName, SignatureAlgorithm};

mod prefix;
mod rotation;
mod scheme;
mod secret;
mod standard_key;
mod words;

/// The header of [`SignatureScheme::Standard`].
pub const STANDARD_HEADER: &str = "webhook-signature";

/// What is signed of a request.
#[derive(Clone, Copy, Debug)]
pub struct SignedMessage<'a> {
    /// The `webhook-id`: the event's id.
    pub id: &'a str,
    /// The `webhook-timestamp`: when the attempt is made, in Unix seconds.
    pub timestamp: i64,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

/// A header that carries a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureHeader<'a> {
    /// The header's name.
    pub name: &'a str,
    /// The header's value: visible ASCII and spaces.
    pub value: String,
}

/// Signs a message with the endpoint's live secrets, the preferred one first.
///
/// `Standard` signs with each of them; the schemes with room for one signature use the first. Which
/// one is first during a rotation's overlap is the caller's decision.
///
/// # Errors
///
/// No secret, or under `Standard` one that is no key of it: both are faults of what was stored,
/// which [`SigningSecret::parse_for`] keeps out.
pub fn sign<'a>(
    scheme: &'a SignatureScheme,
    secrets: &[&SigningSecret],
    message: &SignedMessage<'_>,
) -> Result<SignatureHeader<'a>, SignError> {
    let first = *secrets.first().ok_or(SignError::NoSecret)?;
    let timestamp = message.timestamp.to_string();
    let (name, value) = match scheme {
        SignatureScheme::Standard(_) => (STANDARD_HEADER, standard_value(secrets, message)?),
        SignatureScheme::Timestamped { header } => {
            let content = [timestamp.as_bytes(), b".", message.body];
            let hex = hex(&hmac_sha256(first.text_key(), &content));
            (header.as_str(), format!("t={timestamp},v1={hex}"))
        }
        SignatureScheme::Body { header, prefix } => {
            let hex = hex(&hmac_sha256(first.text_key(), &[message.body]));
            (header.as_str(), format!("{}{hex}", prefix.as_str()))
        }
    };
    Ok(SignatureHeader { name, value })
}

/// Why a message cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The endpoint has no live secret.
    #[error("the endpoint has no signing secret")]
    NoSecret,
    /// A secret that Standard Webhooks cannot sign with.
    #[error("the endpoint's signing secret is no key of Standard Webhooks, which its scheme needs")]
    NotStandard,
}

/// A versioned signature for every secret, separated by a space.
fn standard_value(
    secrets: &[&SigningSecret],
    message: &SignedMessage<'_>,
) -> Result<String, SignError> {
    let signatures: Vec<String> = secrets
        .iter()
        .map(|secret| {
            Ok(secret
                .standard_key()
                .ok_or(SignError::NotStandard)?
                .sign(message))
        })
        .collect::<Result<_, _>>()?;
    Ok(signatures.join(" "))
}

/// Computes the code over the parts as if they were one text; the body is not copied.
fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)])
        .collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use proptest::prelude::*;

    use super::*;
    use crate::custom_headers::HeaderName;

    const STANDARD: SignatureScheme = SignatureScheme::Standard(SignatureAlgorithm::HmacSha256);

    const MESSAGE: SignedMessage<'_> = SignedMessage {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp: 1_614_265_330,
        body: br#"{"test": 2432232314}"#,
    };

    fn own_secret() -> SigningSecret {
        SigningSecret::parse_for(&STANDARD, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .expect("the published secret parses")
    }

    fn body(header: &str, prefix: &str) -> SignatureScheme {
        SignatureScheme::Body {
            header: HeaderName::parse(header).expect("a test header parses"),
            prefix: SignaturePrefix::parse(prefix).expect("a test prefix parses"),
        }
    }

    fn text_secret(scheme: &SignatureScheme, text: &str) -> SigningSecret {
        SigningSecret::parse_for(scheme, text).expect("a test secret parses")
    }

    fn signed(scheme: &SignatureScheme, secrets: &[&SigningSecret]) -> (String, String) {
        let header = sign(scheme, secrets, &MESSAGE).expect("the secrets fit the scheme");
        (header.name.to_owned(), header.value)
    }

    /// A receiver's side, written against the specification and not against [`sign`].
    fn verifies(secret_text: &str, message: &SignedMessage<'_>, header_value: &str) -> bool {
        let key = BASE64
            .decode(secret_text.trim_start_matches("whsec_"))
            .expect("the secret is base64");
        let mut content = format!("{}.{}.", message.id, message.timestamp).into_bytes();
        content.extend_from_slice(message.body);
        header_value.split(' ').any(|versioned| {
            let signature = versioned.strip_prefix("v1,").map(|text| BASE64.decode(text));
            let mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
            matches!(signature, Some(Ok(tag)) if mac.chain_update(&content).verify_slice(&tag).is_ok())
        })
    }

    #[test]
    fn standard_agrees_with_the_published_vector() {
        assert_eq!(
            signed(&STANDARD, &[&own_secret()]),
            (
                "webhook-signature".to_owned(),
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned()
            )
        );
    }

    /// Expected values made with `openssl dgst -sha256 -hmac abc123`.
    #[test]
    fn the_other_schemes_agree_with_openssl() {
        let body = body("X-Hub-Signature-256", "sha256=");
        let secret = text_secret(&body, "abc123");
        assert_eq!(
            signed(&body, &[&secret]),
            (
                "X-Hub-Signature-256".to_owned(),
                "sha256=92b41da613c69e45a914b1251afbffc23d9834d74709756b34e2f05045088a9c"
                    .to_owned()
            )
        );
        let timestamped =
            SignatureScheme::new(SchemeName::Timestamped, SchemeOptions::default()).expect("valid");
        assert_eq!(
            signed(&timestamped, &[&secret]),
            (
                "X-Signature".to_owned(),
                "t=1614265330,v1=ad7eb84528900a442051376b9ed5cb33891bb64943aaa61bd766b1d812f55d18"
                    .to_owned()
            )
        );
    }

    #[test]
    fn only_standard_signs_with_every_secret() {
        let old = SigningSecret::generate_for(&STANDARD);
        let (_, both) = signed(&STANDARD, &[&own_secret(), &old]);
        assert!(verifies(own_secret().expose(), &MESSAGE, &both));
        assert!(verifies(old.expose(), &MESSAGE, &both));

        let body = body("X-Signature", "");
        assert_eq!(
            signed(&body, &[&own_secret(), &old]),
            signed(&body, &[&own_secret()])
        );
    }

    #[test]
    fn secrets_that_cannot_sign_are_an_error() {
        let body = body("X-Signature", "");
        let text = text_secret(&body, "abc123");
        assert_eq!(sign(&STANDARD, &[], &MESSAGE), Err(SignError::NoSecret));
        assert_eq!(
            sign(&STANDARD, &[&text], &MESSAGE),
            Err(SignError::NotStandard)
        );
    }

    proptest! {
        #[test]
        fn sign_and_an_independent_verify_agree(
            key in prop::collection::vec(any::<u8>(), 24..=64),
            id in "[a-z0-9-]{1,40}",
            timestamp: i64,
            body: Vec<u8>,
            flipped in any::<prop::sample::Index>(),
        ) {
            let secret = SigningSecret::parse_for(&STANDARD, &format!("whsec_{}", BASE64.encode(key)))
                .expect("24 to 64 bytes are a secret");
            let message = SignedMessage { id: &id, timestamp, body: &body };
            let value = sign(&STANDARD, &[&secret], &message)
                .expect("the secret fits")
                .value;
            prop_assert!(verifies(secret.expose(), &message, &value));

            let mut forged = body.clone();
            forged.push(0);
            let at = flipped.index(forged.len());
            forged[at] ^= 1;
            let forged = SignedMessage { body: &forged, ..message };
            prop_assert!(!verifies(secret.expose(), &forged, &value));
        }
    }
}
