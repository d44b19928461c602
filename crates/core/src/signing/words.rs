//! The contract's words for how a request is signed.

use std::fmt;
use std::str::FromStr;

/// The word that a scheme goes by in database and API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemeName {
    /// [`SignatureScheme::Standard`](super::SignatureScheme::Standard).
    #[default]
    Standard,
    /// [`SignatureScheme::Timestamped`](super::SignatureScheme::Timestamped).
    Timestamped,
    /// [`SignatureScheme::Body`](super::SignatureScheme::Body).
    Body,
}

impl SchemeName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Standard, Self::Timestamped, Self::Body];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Timestamped => "timestamped",
            Self::Body => "body",
        }
    }
}

impl fmt::Display for SchemeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SchemeName {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|word| word.as_str() == text)
            .ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// How a `Standard` signature is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// With a secret that sender and receiver share; `v1`.
    #[default]
    HmacSha256,
    /// With a private key, verified with its public half; `v1a`.
    Ed25519,
}

impl SignatureAlgorithm {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::HmacSha256, Self::Ed25519];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SignatureAlgorithm {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|word| word.as_str() == text)
            .ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// A word that the contract does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no word for how a request is signed")]
pub struct UnknownWord(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for name in SchemeName::ALL {
            assert_eq!(name.as_str().parse(), Ok(name));
        }
        for algorithm in SignatureAlgorithm::ALL {
            assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
        }
        assert!("md5".parse::<SignatureAlgorithm>().is_err());
    }
}
