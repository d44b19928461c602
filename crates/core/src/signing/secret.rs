//! The secret that sender and receiver share.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::secret::SecretText;
use crate::signing::SignatureScheme;

/// What a Standard Webhooks secret begins with.
const PREFIX: &str = "whsec_";

/// Key length in bytes of a `whsec_` secret: Standard Webhooks' bounds.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Key length in bytes of the secrets we make: SHA-256's own, past which HMAC gains nothing.
const GENERATED_KEY_BYTES: usize = 32;

/// Longest secret of the schemes that take any text, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// A signing secret of an endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret {
    text: SecretText,
    /// The decoded key, where the text is a `whsec_` secret.
    standard_key: Option<Vec<u8>>,
}

impl SigningSecret {
    /// Makes a secret of 256 random bits, which serves every scheme.
    pub fn generate() -> Self {
        let key: [u8; GENERATED_KEY_BYTES] = rand::random();
        Self {
            text: SecretText::new(format!("{PREFIX}{}", BASE64.encode(key))),
            standard_key: Some(key.to_vec()),
        }
    }

    /// Parses a `whsec_` secret: the prefix and the base64 of 24 to 64 bytes.
    ///
    /// # Errors
    ///
    /// Says which rule the text breaks, without showing it.
    pub fn parse(text: &str) -> Result<Self, SigningSecretError> {
        Ok(Self {
            standard_key: Some(decode_standard(text)?),
            text: SecretText::new(text),
        })
    }

    /// Parses a secret for a scheme: a `whsec_` secret for `Standard`, 1 to 256 visible ASCII
    /// characters for the others.
    ///
    /// # Errors
    ///
    /// Says which rule the text breaks, without showing it.
    pub fn parse_for(scheme: &SignatureScheme, text: &str) -> Result<Self, SigningSecretError> {
        match scheme {
            SignatureScheme::Standard => Self::parse(text),
            SignatureScheme::Timestamped { .. } | SignatureScheme::Body { .. } => {
                let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
                if text.is_empty() || text.len() > MAX_TEXT_BYTES || !is_visible {
                    return Err(SigningSecretError::BadText);
                }
                Ok(Self {
                    standard_key: decode_standard(text).ok(),
                    text: SecretText::new(text),
                })
            }
        }
    }

    /// Hands out the text, to be sealed, or shown to its owner once.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// What the owner can recognise the secret by: `whsec_…` and its last four characters.
    ///
    /// Of a short secret nothing is shown, since four characters would be too much of it.
    pub fn hint(&self) -> String {
        /// The least length at which four characters give little away.
        const MIN_BYTES: usize = 16;
        let text = self.expose();
        let prefix = if text.starts_with(PREFIX) { PREFIX } else { "" };
        let end = match text.len().checked_sub(4) {
            Some(at) if text.len() >= MIN_BYTES => &text[at..],
            _ => "",
        };
        format!("{prefix}…{end}")
    }

    /// The key of the scheme `Standard`.
    pub(super) fn standard_key(&self) -> Option<&[u8]> {
        self.standard_key.as_deref()
    }

    /// The key of the other schemes: the text's own bytes, also where it begins with `whsec_`.
    pub(super) fn text_key(&self) -> &[u8] {
        self.text.expose().as_bytes()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why a text is no signing secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningSecretError {
    /// The prefix is missing.
    #[error("must begin with '{PREFIX}'")]
    MissingPrefix,
    /// What follows the prefix is not base64.
    #[error("must be '{PREFIX}' followed by standard base64 with padding")]
    NotBase64,
    /// The key is too short or too long.
    #[error(
        "must be the base64 of {} to {} bytes",
        KEY_BYTES.start(),
        KEY_BYTES.end()
    )]
    BadKeyLength,
    /// A text that the schemes with free secrets do not take.
    #[error("must be 1 to {MAX_TEXT_BYTES} visible ASCII characters")]
    BadText,
}

fn decode_standard(text: &str) -> Result<Vec<u8>, SigningSecretError> {
    let encoded = text
        .strip_prefix(PREFIX)
        .ok_or(SigningSecretError::MissingPrefix)?;
    let key = BASE64
        .decode(encoded)
        .map_err(|_| SigningSecretError::NotBase64)?;
    if !KEY_BYTES.contains(&key.len()) {
        return Err(SigningSecretError::BadKeyLength);
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn own(key_bytes: usize) -> String {
        format!("whsec_{}", BASE64.encode(vec![7; key_bytes]))
    }

    fn body_scheme() -> SignatureScheme {
        SignatureScheme::parse("body", None, None).expect("defaults are valid")
    }

    #[test]
    fn own_secrets_have_24_to_64_bytes() {
        for (key_bytes, is_valid) in [(23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(SigningSecret::parse(&own(key_bytes)).is_ok(), is_valid);
        }
        for (text, error) in [
            (
                "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                SigningSecretError::MissingPrefix,
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSé",
                SigningSecretError::NotBase64,
            ),
            ("whsec_", SigningSecretError::BadKeyLength),
        ] {
            assert_eq!(SigningSecret::parse(text), Err(error));
        }
    }

    #[test]
    fn other_schemes_take_any_visible_text() {
        let parse = |text: &str| SigningSecret::parse_for(&body_scheme(), text);
        assert!(parse("x").is_ok());
        assert!(parse(&"x".repeat(256)).is_ok());
        for text in ["", "a b", "ä", "a\n", &"x".repeat(257)] {
            assert_eq!(parse(text), Err(SigningSecretError::BadText));
        }
        assert!(SigningSecret::parse_for(&SignatureScheme::Standard, "x").is_err());
    }

    #[test]
    fn generated_secrets_differ_and_parse() {
        let secret = SigningSecret::generate();
        assert_ne!(secret, SigningSecret::generate());
        assert_eq!(SigningSecret::parse(secret.expose()), Ok(secret));
    }

    #[test]
    fn hint_shows_the_end_of_a_long_secret_only() {
        let hint = |text: &str| {
            SigningSecret::parse_for(&body_scheme(), text)
                .expect("a valid text")
                .hint()
        };
        assert_eq!(
            hint("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            "whsec_…LaSw"
        );
        assert_eq!(hint("a-text-secret-of-some-length"), "…ngth");
        assert_eq!(hint("short"), "…");
        assert_eq!(hint("abc"), "…");
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let secret = SigningSecret::parse(&own(32)).expect("a valid secret");
        assert_eq!(format!("{secret:?}"), "[redacted]");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text: String) {
            let _ = SigningSecret::parse(&text);
            if let Ok(secret) = SigningSecret::parse_for(&body_scheme(), &text) {
                let _ = secret.hint();
            }
        }
    }
}
