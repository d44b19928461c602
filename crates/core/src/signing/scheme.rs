//! How an endpoint's requests are signed.

use std::fmt;

use super::{SchemeName, SignatureAlgorithm, SignaturePrefix};
use crate::custom_headers::HeaderName;

/// What a scheme may be told besides its name.
#[derive(Clone, Debug, Default)]
pub struct SchemeOptions {
    /// The header that carries the signature.
    pub header: Option<HeaderName>,
    /// What precedes it.
    pub prefix: Option<SignaturePrefix>,
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
    /// The scheme of a name, with the options that it takes.
    ///
    /// The header defaults to `X-Signature`, the prefix to nothing, the algorithm to `hmac-sha256`.
    ///
    /// # Errors
    ///
    /// Every option that the scheme does not take.
    pub fn new(name: SchemeName, options: SchemeOptions) -> Result<Self, SchemeConflicts> {
        let conflicts = SchemeConflicts::of(name, &options);
        if !conflicts.0.is_empty() {
            return Err(conflicts);
        }
        let header = options.header.unwrap_or_else(HeaderName::x_signature);
        Ok(match name {
            SchemeName::Standard => Self::Standard(options.algorithm.unwrap_or_default()),
            SchemeName::Timestamped => Self::Timestamped { header },
            SchemeName::Body => Self::Body {
                header,
                prefix: options.prefix.unwrap_or_default(),
            },
        })
    }

    /// The word that it goes by.
    pub fn name(&self) -> SchemeName {
        match self {
            Self::Standard(_) => SchemeName::Standard,
            Self::Timestamped { .. } => SchemeName::Timestamped,
            Self::Body { .. } => SchemeName::Body,
        }
    }

    /// Whether a request can carry the signatures of two secrets.
    #[must_use]
    pub const fn has_room_for_two(&self) -> bool {
        match self {
            Self::Standard(_) => true,
            Self::Timestamped { .. } | Self::Body { .. } => false,
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

/// An option that a scheme does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemeConflict {
    /// A header with a scheme whose header is fixed.
    #[error("the scheme 'standard' signs in 'webhook-signature' and takes no other header")]
    Header,
    /// A prefix with a scheme that has none.
    #[error("only the scheme 'body' takes a prefix")]
    Prefix,
    /// Ed25519 with a scheme that has no place for it.
    #[error("only the scheme 'standard' signs with ed25519")]
    Algorithm,
}

impl SchemeConflict {
    /// The part of the contract's `signature` that is at fault.
    #[must_use]
    pub const fn part(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Prefix => "prefix",
            Self::Algorithm => "algorithm",
        }
    }
}

/// All options that a scheme does not take; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemeConflicts(Vec<SchemeConflict>);

impl SchemeConflicts {
    fn of(name: SchemeName, options: &SchemeOptions) -> Self {
        let is_standard = name == SchemeName::Standard;
        let has_ed25519 = options.algorithm == Some(SignatureAlgorithm::Ed25519);
        let is_one = |conflict: &SchemeConflict| match conflict {
            SchemeConflict::Header => is_standard && options.header.is_some(),
            SchemeConflict::Prefix => name != SchemeName::Body && options.prefix.is_some(),
            SchemeConflict::Algorithm => !is_standard && has_ed25519,
        };
        let all = [
            SchemeConflict::Header,
            SchemeConflict::Prefix,
            SchemeConflict::Algorithm,
        ];
        Self(all.into_iter().filter(is_one).collect())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = SchemeConflict> {
        self.0.iter().copied()
    }
}

impl fmt::Display for SchemeConflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.iter().map(|one| one.to_string()).collect();
        f.write_str(&texts.join("; "))
    }
}

impl std::error::Error for SchemeConflicts {}

#[cfg(test)]
mod tests {
    use super::*;

    use SignatureAlgorithm::{Ed25519, HmacSha256};

    fn options(
        header: Option<&str>,
        prefix: Option<&str>,
        algorithm: Option<SignatureAlgorithm>,
    ) -> SchemeOptions {
        SchemeOptions {
            header: header.map(|text| HeaderName::parse(text).expect("a good name")),
            prefix: prefix.map(|text| SignaturePrefix::parse(text).expect("a good prefix")),
            algorithm,
        }
    }

    #[test]
    fn schemes_read_back_with_their_options() {
        for (name, header, prefix, algorithm) in [
            (SchemeName::Standard, None, None, HmacSha256),
            (SchemeName::Standard, None, None, Ed25519),
            (SchemeName::Timestamped, Some("X-Sig"), None, HmacSha256),
            (SchemeName::Body, Some("X-Sig"), Some("sha256="), HmacSha256),
        ] {
            let scheme = SignatureScheme::new(name, options(header, prefix, Some(algorithm)))
                .expect("a valid scheme");
            assert_eq!(scheme.name(), name);
            assert_eq!(scheme.header().map(HeaderName::as_str), header);
            assert_eq!(scheme.prefix().map(SignaturePrefix::as_str), prefix);
            assert_eq!(scheme.algorithm(), algorithm);
        }
    }

    #[test]
    fn options_have_defaults() {
        let scheme = SignatureScheme::new(SchemeName::Body, SchemeOptions::default())
            .expect("defaults are valid");
        assert_eq!(scheme.header().map(HeaderName::as_str), Some("X-Signature"));
        assert_eq!(scheme.prefix(), Some(&SignaturePrefix::default()));
        assert_eq!(scheme.algorithm(), HmacSha256);
    }

    #[test]
    fn all_options_without_use_are_told() {
        for (name, expected) in [
            (SchemeName::Standard, &["header", "prefix"][..]),
            (SchemeName::Timestamped, &["prefix", "algorithm"]),
            (SchemeName::Body, &["algorithm"]),
        ] {
            let all = options(Some("X-Sig"), Some("v="), Some(Ed25519));
            let conflicts = SignatureScheme::new(name, all).expect_err("not all are taken");
            let parts: Vec<&str> = conflicts.iter().map(SchemeConflict::part).collect();
            assert_eq!(parts, expected, "{name}");
            assert_eq!(conflicts.to_string().split("; ").count(), parts.len());
        }
    }
}
