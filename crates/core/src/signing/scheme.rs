//! How an endpoint's requests are signed.

use crate::custom_headers::{HeaderName, HeaderNameError};

/// The header in which the schemes with a free choice sign, when none is chosen.
const DEFAULT_HEADER: &str = "X-Signature";

/// How an endpoint's requests are signed; see the contract's "What a receiver gets".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SignatureScheme {
    /// Standard Webhooks 1.0: id, timestamp and body, one signature per live secret.
    #[default]
    Standard,
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

impl SignatureScheme {
    /// Parses a scheme by its name, with the options that it takes.
    ///
    /// The header defaults to `X-Signature`, the prefix to nothing.
    ///
    /// # Errors
    ///
    /// An unknown name, an option that the scheme does not take, or one that is malformed.
    pub fn parse(
        name: &str,
        header: Option<&str>,
        prefix: Option<&str>,
    ) -> Result<Self, SignatureSchemeError> {
        let parse_header = || HeaderName::parse(header.unwrap_or(DEFAULT_HEADER));
        match name {
            "standard" if header.is_some() => Err(SignatureSchemeError::HeaderWithoutUse),
            "standard" | "timestamped" if prefix.is_some() => {
                Err(SignatureSchemeError::PrefixWithoutUse)
            }
            "standard" => Ok(Self::Standard),
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
            Self::Standard => "standard",
            Self::Timestamped { .. } => "timestamped",
            Self::Body { .. } => "body",
        }
    }

    /// The header of the tenant's choice, where the scheme has one.
    pub fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Standard => None,
            Self::Timestamped { header } | Self::Body { header, .. } => Some(header),
        }
    }

    /// The prefix, where the scheme has one.
    pub fn prefix(&self) -> Option<&SignaturePrefix> {
        match self {
            Self::Standard | Self::Timestamped { .. } => None,
            Self::Body { prefix, .. } => Some(prefix),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_read_back_with_their_options() {
        for (name, header, prefix) in [
            ("standard", None, None),
            ("timestamped", Some("X-Sig"), None),
            ("body", Some("X-Sig"), Some("sha256=")),
        ] {
            let scheme = SignatureScheme::parse(name, header, prefix).expect("a valid scheme");
            assert_eq!(scheme.as_str(), name);
            assert_eq!(scheme.header().map(HeaderName::as_str), header);
            assert_eq!(scheme.prefix().map(SignaturePrefix::as_str), prefix);
        }
    }

    #[test]
    fn header_defaults_to_x_signature() {
        let scheme = SignatureScheme::parse("body", None, None).expect("defaults are valid");
        assert_eq!(scheme.header().map(HeaderName::as_str), Some("X-Signature"));
        assert_eq!(scheme.prefix(), Some(&SignaturePrefix::default()));
    }

    #[test]
    fn options_without_use_and_reserved_headers_are_refused() {
        use SignatureSchemeError as Error;
        for (name, header, prefix, error) in [
            ("none", None, None, Error::UnknownScheme),
            ("standard", Some("X-Sig"), None, Error::HeaderWithoutUse),
            ("standard", None, Some("v="), Error::PrefixWithoutUse),
            ("timestamped", None, Some("v="), Error::PrefixWithoutUse),
            ("body", None, Some("a b"), Error::BadPrefix),
            ("body", None, Some("a\r\nb"), Error::BadPrefix),
            (
                "body",
                Some("Host"),
                None,
                HeaderNameError::Reserved("Host".to_owned()).into(),
            ),
        ] {
            assert_eq!(SignatureScheme::parse(name, header, prefix), Err(error));
        }
    }
}
