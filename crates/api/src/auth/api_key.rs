//! API keys: 256 random bits, shown once, found by a prefix, kept as a hash.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What every key begins with, so that people and secret scanners know it.
const MARK: &str = "rpk_";
/// Characters of the prefix after the mark: 60 random bits, no secret, so that prefixes do not meet.
const PREFIX_CHARS: usize = 10;
const SECRET_BYTES: usize = 32;

/// A new key, to be shown once.
pub struct NewKey {
    /// The whole key.
    pub text: String,
    /// The part that finds its row.
    pub prefix: String,
    /// What is kept of the whole.
    pub hash: [u8; 32],
}

impl NewKey {
    /// Makes a key of fresh randomness.
    #[must_use]
    pub fn generate() -> Self {
        let prefix = &URL_SAFE_NO_PAD.encode(rand::random::<[u8; 8]>())[..PREFIX_CHARS];
        let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; SECRET_BYTES]>());
        let prefix = format!("{MARK}{prefix}");
        let text = format!("{prefix}.{secret}");
        let hash = Sha256::digest(&text).into();
        Self { text, prefix, hash }
    }
}

/// A key as a caller presents it.
pub struct PresentedKey<'a> {
    text: &'a str,
    prefix: &'a str,
}

impl<'a> PresentedKey<'a> {
    /// Splits a key; `None` for what can't be one.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (prefix, _) = text.split_once('.')?;
        (prefix.starts_with(MARK) && prefix.len() == MARK.len() + PREFIX_CHARS && text.len() < 128)
            .then_some(Self { text, prefix })
    }

    /// The part that finds its row.
    #[must_use]
    pub const fn prefix(&self) -> &str {
        self.prefix
    }

    /// The hash of the whole.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.text).into()
    }

    /// Whether this is the key with that hash; takes the same time either way.
    #[must_use]
    pub fn matches(&self, hash: &[u8]) -> bool {
        self.hash().ct_eq(hash).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_matches_its_own_hash_only() {
        let key = NewKey::generate();
        let presented = PresentedKey::parse(&key.text).unwrap();
        assert_eq!(presented.prefix(), key.prefix);
        assert!(presented.matches(&key.hash));
        let changed = format!("{}x", key.text);
        assert!(!PresentedKey::parse(&changed).unwrap().matches(&key.hash));
        assert!(PresentedKey::parse("rpk_short.x").is_none());
    }

    #[test]
    fn a_key_is_256_random_bits_and_has_a_prefix_of_its_own() {
        let (one, other) = (NewKey::generate(), NewKey::generate());
        let secret = |key: &NewKey| {
            let (_, secret) = key.text.split_once('.').unwrap();
            URL_SAFE_NO_PAD.decode(secret).unwrap()
        };
        assert_eq!(secret(&one).len(), 32);
        assert_ne!(secret(&one), secret(&other));
        assert_ne!(one.prefix, other.prefix);
    }
}
