//! The name of a header that a tenant may choose.

use std::fmt;

/// Longest header name in bytes; real ones stay far below, and names count in every request.
pub const MAX_NAME_BYTES: usize = 128;

/// Names that a tenant may not set: those which frame the message or manage the connection (RFC
/// 9110 §7.6, §10.1.1; RFC 9112 §6), those by which a request could reach another receiver than the
/// URL's, and those whose value is ours to say.
const RESERVED_NAMES: [&str; 13] = [
    "accept-encoding",
    "connection",
    "date",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

/// Whole families of reserved names; `webhook-` is what a receiver verifies us by.
const RESERVED_PREFIXES: [&str; 3] = ["content-", "proxy-", "webhook-"];

/// Says whether only Reprise may set this header, in whatever case it is written.
pub fn is_reserved_header(name: &str) -> bool {
    RESERVED_NAMES
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved))
        || RESERVED_PREFIXES.iter().any(|prefix| {
            name.as_bytes()
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        })
}

/// The name of a header that a tenant may set, written as the tenant wrote it.
#[derive(Clone, Debug)]
pub struct HeaderName(String);

impl HeaderName {
    /// Parses a header name.
    ///
    /// # Errors
    ///
    /// Says which rule the name breaks.
    pub fn parse(name: &str) -> Result<Self, HeaderNameError> {
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(HeaderNameError::NotAToken);
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(HeaderNameError::TooLong);
        }
        if is_reserved_header(name) {
            return Err(HeaderNameError::Reserved(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }

    /// Where the schemes with a free choice sign, when none is chosen.
    pub fn x_signature() -> Self {
        Self("X-Signature".to_owned())
    }

    /// The name as the tenant wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Header names are compared without regard to case (RFC 9110 §5.1).
impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for HeaderName {}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a tenant may not use a header name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderNameError {
    /// Empty, or with a character that RFC 9110 §5.6.2 does not allow.
    #[error("a header name must be one or more of the characters that HTTP allows in a token")]
    NotAToken,
    /// Longer than [`MAX_NAME_BYTES`].
    #[error("a header name must be at most {MAX_NAME_BYTES} bytes long")]
    TooLong,
    /// One of ours; see [`is_reserved_header`].
    #[error("header '{0}' is set by Reprise and cannot be chosen")]
    Reserved(String),
}

/// RFC 9110 §5.6.2, `tchar`.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_refused_in_any_case() {
        // Written out, so that a name that is taken out of the lists above is missed here.
        for name in [
            "Accept-Encoding",
            "CONNECTION",
            "Date",
            "Expect",
            "Host",
            "HTTP2-Settings",
            "Keep-Alive",
            "te",
            "TRAILER",
            "Transfer-Encoding",
            "Upgrade",
            "User-Agent",
            "Via",
            "Content-Length",
            "CONTENT-TYPE",
            "content-encoding",
            "Proxy-Authorization",
            "proxy-connection",
            "Webhook-Id",
            "WEBHOOK-SIGNATURE",
        ] {
            assert_eq!(
                HeaderName::parse(name),
                Err(HeaderNameError::Reserved(name.to_owned()))
            );
        }
        for name in ["X-Host", "Webhook", "Contents", "Proxied", "Accept"] {
            assert!(HeaderName::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_are_tokens_of_a_bounded_length() {
        for name in ["", "X A", "X:A", "X\r\nA", "Ä"] {
            assert_eq!(
                HeaderName::parse(name),
                Err(HeaderNameError::NotAToken),
                "{name:?}"
            );
        }
        assert!(HeaderName::parse(&"x".repeat(MAX_NAME_BYTES)).is_ok());
        assert_eq!(
            HeaderName::parse(&"x".repeat(MAX_NAME_BYTES + 1)),
            Err(HeaderNameError::TooLong)
        );
    }
}
