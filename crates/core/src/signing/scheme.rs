//! How an endpoint's requests are signed.

use crate::custom_headers::{HeaderName, HeaderNameError};

/// The header in which the schemes with a free choice sign, when none is chosen.
const DEFAULT_HEADER: &str = "X-Signature";

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
    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Reads the contract's word.
    ///
    /// # Errors
    ///
    /// [`SignatureSchemeError::UnknownAlgorithm`].
    pub fn parse(word: &str) -> Result<Self, SignatureSchemeError> {
        match word {
            "hmac-sha256" => Ok(Self::HmacSha256),
            "ed25519" => Ok(Self::Ed25519),
            _ => Err(SignatureSchemeError::UnknownAlgorithm),
        }
    }
}

/// What a scheme may be told besides its name.
#[derive(Clone, Copy, Debug, Default)]
pub struct SchemeOptions<'a> {
    /// The header that carries the signature.
    pub header: Option<&'a str>,
    /// What precedes it.
    pub prefix: Option<&'a str>,
    /// How it is computed.
    pub algorithm: Option<SignatureAlgorithm>,
}

/// How an endpoint's requests are signed; see the contract's "What a receiver gets".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureScheme {
    /// Standard Webhooks 1.0: id, timestamp and body, one signature per live secret.
    Standard(SignatureAlgorithm),
    /// `t=<unix>,v1=<hex>` over timestamp and body.
    Timestamped {
        /// The header that carries the signature.
        header: HeaderName,
    },
    /// `<prefix><hex>` over the body alone; its receivers cannot refuse a replay attack by age.
    Body {
        /// The header that carries the signature.
        header: HeaderName,
        /// What stands before the hexadecimal digits, such as `sha256=`.
        prefix: SignaturePrefix,
    },
}

impl Default for SignatureScheme {
    fn default() -> Self {
        Self::Standard(SignatureAlgorithm::default())
    }
}

impl SignatureScheme {
    /// Parses a scheme by its name, with the options that it takes.
    ///
    /// The header defaults to `X-Signature`, the prefix to nothing, the algorithm to `hmac-sha256`.
    ///
    /// # Errors
    ///
    /// An unknown name, an option that the scheme does not take, or one that is malformed.
    pub fn parse(name: &str, options: SchemeOptions<'_>) -> Result<Self, SignatureSchemeError> {
        let SchemeOptions { header, prefix, .. } = options;
        let algorithm = options.algorithm.unwrap_or_default();
        let parse_header = || HeaderName::parse(header.unwrap_or(DEFAULT_HEADER));
        match name {
            "standard" if header.is_some() => Err(SignatureSchemeError::HeaderWithoutUse),
            "standard" | "timestamped" if prefix.is_some() => {
                Err(SignatureSchemeError::PrefixWithoutUse)
            }
            "timestamped" | "body" if algorithm == SignatureAlgorithm::Ed25519 => {
                Err(SignatureSchemeError::AlgorithmWithoutUse)
            }
            "standard" => Ok(Self::Standard(algorithm)),
            "timestamped" => Ok(Self::Timestamped {
                header: parse_header()?,
            }),
            "body" => Ok(Self::Body {
                header: parse_header()?,
                prefix: SignaturePrefix::parse(prefix.unwrap_or_default())?,
            }),
            _ => Err(SignatureSchemeError::UnknownScheme),
        }
    }

    /// The stable name in database and API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Standard(_) => "standard",
            Self::Timestamped { .. } => "timestamped",
            Self::Body { .. } => "body",
        }
    }

    /// The header of the tenant's choice, where the scheme has one.
    pub fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Standard(_) => None,
            Self::Timestamped { header } | Self::Body { header, .. } => Some(header),
        }
    }

    /// The prefix, where the scheme has one.
    pub fn prefix(&self) -> Option<&SignaturePrefix> {
        match self {
            Self::Standard(_) | Self::Timestamped { .. } => None,
            Self::Body { prefix, .. } => Some(prefix),
        }
    }

    /// How the signature is computed; only `Standard` has a choice.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        match self {
            Self::Standard(algorithm) => *algorithm,
            Self::Timestamped { .. } | Self::Body { .. } => SignatureAlgorithm::HmacSha256,
        }
    }
}

/// A short text of visible ASCII before a signature; it may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignaturePrefix(String);

impl SignaturePrefix {
    /// Longest prefix in bytes; it names an algorithm or a version, nothing longer.
    pub const MAX_BYTES: usize = 32;

    /// Parses a prefix.
    ///
    /// # Errors
    ///
    /// Too long, or with a character that is not visible ASCII.
    pub fn parse(text: &str) -> Result<Self, SignatureSchemeError> {
        if text.len() > Self::MAX_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SignatureSchemeError::BadPrefix);
        }
        Ok(Self(text.to_owned()))
    }

    /// The prefix as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a signature scheme is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureSchemeError {
    /// No such scheme.
    #[error("the scheme must be 'standard', 'timestamped' or 'body'")]
    UnknownScheme,
    /// A header with a scheme whose header is fixed.
    #[error("the scheme 'standard' signs in 'webhook-signature' and takes no other header")]
    HeaderWithoutUse,
    /// A prefix with a scheme that has none.
    #[error("only the scheme 'body' takes a prefix")]
    PrefixWithoutUse,
    /// No such algorithm.
    #[error("the algorithm must be 'hmac-sha256' or 'ed25519'")]
    UnknownAlgorithm,
    /// Ed25519 with a scheme that has no place for it.
    #[error("only the scheme 'standard' signs with ed25519")]
    AlgorithmWithoutUse,
    /// A header that cannot carry the signature.
    #[error(transparent)]
    Header(#[from] HeaderNameError),
    /// A prefix that is too long or not visible ASCII.
    #[error(
        "the prefix must be at most {} visible ASCII characters",
        SignaturePrefix::MAX_BYTES
    )]
    BadPrefix,
}

impl SignatureSchemeError {
    /// The part of the contract's `signature` that is at fault.
    #[must_use]
    pub const fn part(&self) -> &'static str {
        match self {
            Self::UnknownScheme => "scheme",
            Self::HeaderWithoutUse | Self::Header(_) => "header",
            Self::PrefixWithoutUse | Self::BadPrefix => "prefix",
            Self::UnknownAlgorithm | Self::AlgorithmWithoutUse => "algorithm",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use SignatureAlgorithm::{Ed25519, HmacSha256};

    type Options = (
        &'static str,
        Option<&'static str>,
        Option<&'static str>,
        Option<SignatureAlgorithm>,
    );

    fn parse(
        (name, header, prefix, algorithm): Options,
    ) -> Result<SignatureScheme, SignatureSchemeError> {
        let options = SchemeOptions {
            header,
            prefix,
            algorithm,
        };
        SignatureScheme::parse(name, options)
    }

    #[test]
    fn schemes_read_back_with_their_options() {
        for options in [
            ("standard", None, None, Some(HmacSha256)),
            ("standard", None, None, Some(Ed25519)),
            ("timestamped", Some("X-Sig"), None, Some(HmacSha256)),
            ("body", Some("X-Sig"), Some("sha256="), Some(HmacSha256)),
        ] {
            let scheme = parse(options).expect("a valid scheme");
            let (name, header, prefix, algorithm) = options;
            assert_eq!(scheme.as_str(), name);
            assert_eq!(scheme.header().map(HeaderName::as_str), header);
            assert_eq!(scheme.prefix().map(SignaturePrefix::as_str), prefix);
            assert_eq!(Some(scheme.algorithm()), algorithm);
        }
    }

    #[test]
    fn options_have_defaults() {
        let scheme = parse(("body", None, None, None)).expect("defaults are valid");
        assert_eq!(scheme.header().map(HeaderName::as_str), Some("X-Signature"));
        assert_eq!(scheme.prefix(), Some(&SignaturePrefix::default()));
        assert_eq!(scheme.algorithm(), SignatureAlgorithm::HmacSha256);
    }

    #[test]
    fn options_without_use_and_reserved_headers_are_refused() {
        use SignatureSchemeError as Error;
        let reserved = HeaderNameError::Reserved("Host".to_owned());
        for (options, error) in [
            (("none", None, None, None), Error::UnknownScheme),
            (
                ("standard", Some("X-Sig"), None, None),
                Error::HeaderWithoutUse,
            ),
            (
                ("standard", None, Some("v="), None),
                Error::PrefixWithoutUse,
            ),
            (
                ("timestamped", None, Some("v="), None),
                Error::PrefixWithoutUse,
            ),
            (("body", None, Some("a b"), None), Error::BadPrefix),
            (("body", None, Some("a\r\nb"), None), Error::BadPrefix),
            (("body", Some("Host"), None, None), reserved.into()),
            (
                ("body", None, None, Some(Ed25519)),
                Error::AlgorithmWithoutUse,
            ),
        ] {
            assert_eq!(parse(options), Err(error), "{options:?}");
        }
        for algorithm in [HmacSha256, Ed25519] {
            assert_eq!(SignatureAlgorithm::parse(algorithm.as_str()), Ok(algorithm));
        }
        assert_eq!(
            SignatureAlgorithm::parse("md5"),
            Err(Error::UnknownAlgorithm)
        );
    }
}
