//! The secret that sender and receiver share.

use std::fmt;

use super::standard_key::{PRIVATE_PREFIX, SYMMETRIC_PREFIX, StandardKey, StandardKeyError};
use super::{SignatureAlgorithm, SignatureScheme};
use crate::secret::SecretText;

/// Longest secret of the schemes that take any text, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// A signing secret of an endpoint.
#[derive(Clone)]
pub struct SigningSecret {
    text: SecretText,
    /// The decoded key, where the text is one of Standard Webhooks.
    standard_key: Option<StandardKey>,
}

impl PartialEq for SigningSecret {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for SigningSecret {}

impl SigningSecret {
    /// Makes a secret of 256 random bits for a scheme.
    pub fn generate_for(scheme: &SignatureScheme) -> Self {
        let text = StandardKey::generate(scheme.algorithm());
        Self {
            standard_key: StandardKey::parse(scheme.algorithm(), &text).ok(),
            text: SecretText::new(text),
        }
    }

    /// Parses a secret for a scheme. `Standard` takes a `whsec_` secret (the base64 of 24 to 64 bytes), or with Ed25519
    /// a `whsk_` key; the other schemes take 1 to 256 visible ASCII characters.
    ///
    /// # Errors
    ///
    /// Says which rule the text breaks, without showing it.
    pub fn parse_for(scheme: &SignatureScheme, text: &str) -> Result<Self, SigningSecretError> {
        let standard_key = match scheme {
            SignatureScheme::Standard(algorithm) => Some(StandardKey::parse(*algorithm, text)?),
            SignatureScheme::Timestamped { .. } | SignatureScheme::Body { .. } => {
                let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
                if text.is_empty() || text.len() > MAX_TEXT_BYTES || !is_visible {
                    return Err(SigningSecretError::BadText);
                }
                StandardKey::parse(SignatureAlgorithm::HmacSha256, text).ok()
            }
        };
        Ok(Self {
            standard_key,
            text: SecretText::new(text),
        })
    }

    /// Hands out the text, to be sealed, or shown to its owner once.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// The public half of an Ed25519 key: `whpk_…`.
    pub fn public_key(&self) -> Option<String> {
        self.standard_key.as_ref()?.public_key()
    }

    /// What the owner can recognise the secret by: `whsec_…` and its last four characters.
    ///
    /// Of a short secret nothing is shown, since four characters would be too much of it.
    pub fn hint(&self) -> String {
        /// The least length at which four characters give little away.
        const MIN_BYTES: usize = 16;
        let text = self.expose();
        let prefix = [SYMMETRIC_PREFIX, PRIVATE_PREFIX]
            .into_iter()
            .find(|prefix| text.starts_with(prefix))
            .unwrap_or("");
        let end = match text.len().checked_sub(4) {
            Some(at) if text.len() >= MIN_BYTES => &text[at..],
            _ => "",
        };
        format!("{prefix}…{end}")
    }

    /// The key of the scheme `Standard`.
    pub(super) fn standard_key(&self) -> Option<&StandardKey> {
        self.standard_key.as_ref()
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
    /// No key of Standard Webhooks.
    #[error(transparent)]
    Standard(#[from] StandardKeyError),
    /// A text that the schemes with free secrets do not take.
    #[error("must be 1 to {MAX_TEXT_BYTES} visible ASCII characters")]
    BadText,
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use proptest::prelude::*;

    use super::*;
    use crate::signing::{SchemeName, SchemeOptions};

    const PUBLISHED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn own(key_bytes: usize) -> String {
        format!("whsec_{}", BASE64.encode(vec![7; key_bytes]))
    }

    fn standard(text: &str) -> Result<SigningSecret, SigningSecretError> {
        SigningSecret::parse_for(&SignatureScheme::default(), text)
    }

    fn body_scheme() -> SignatureScheme {
        SignatureScheme::new(SchemeName::Body, SchemeOptions::default())
            .expect("defaults are valid")
    }

    #[test]
    fn own_secrets_have_24_to_64_bytes() {
        for (key_bytes, is_valid) in [(23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(standard(&own(key_bytes)).is_ok(), is_valid);
        }
        for (text, error) in [
            (
                "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                StandardKeyError::MissingPrefix("whsec_"),
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSé",
                StandardKeyError::NotBase64("whsec_"),
            ),
            ("whsec_", StandardKeyError::BadKeyLength),
        ] {
            assert_eq!(standard(text), Err(error.into()));
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
        assert!(standard("x").is_err());
    }

    #[test]
    fn generated_secrets_differ_and_parse() {
        let ed25519 = SignatureScheme::Standard(SignatureAlgorithm::Ed25519);
        for scheme in [SignatureScheme::default(), ed25519, body_scheme()] {
            let secret = SigningSecret::generate_for(&scheme);
            assert_ne!(secret, SigningSecret::generate_for(&scheme));
            assert_eq!(
                SigningSecret::parse_for(&scheme, secret.expose()),
                Ok(secret)
            );
        }
    }

    #[test]
    fn hint_shows_the_end_of_a_long_secret_only() {
        let hint = |text: &str| {
            SigningSecret::parse_for(&body_scheme(), text)
                .expect("a valid text")
                .hint()
        };
        assert_eq!(hint(PUBLISHED), "whsec_…LaSw");
        assert_eq!(hint("a-text-secret-of-some-length"), "…ngth");
        assert_eq!(hint("short"), "…");
        assert_eq!(hint("abc"), "…");
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let secret = standard(&own(32)).expect("a valid secret");
        assert_eq!(format!("{secret:?}"), "[redacted]");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text: String) {
            let _ = standard(&text);
            if let Ok(secret) = SigningSecret::parse_for(&body_scheme(), &text) {
                let _ = secret.hint();
            }
        }
    }
}
