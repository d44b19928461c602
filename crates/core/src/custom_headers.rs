//! Header names and values that a tenant may choose for the requests to its receivers.

use std::fmt;

use crate::secret::SecretText;

/// Longest header name in bytes; real ones stay far below, and names count in every request.
pub const MAX_NAME_BYTES: usize = 128;

/// Longest header value in bytes: room for a signed token; receivers commonly refuse more than 8 KiB
/// of headers in all.
pub const MAX_VALUE_BYTES: usize = 1024;

/// Most bytes of all names and values together, so that ours still fit beside them into the 8 KiB.
pub const MAX_TOTAL_BYTES: usize = 4096;

/// Most custom headers of an endpoint; common servers refuse requests with more than about 100.
pub const MAX_HEADERS: usize = 32;

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

/// The headers that an endpoint's requests carry besides ours.
///
/// Values are secrets: they often hold a receiver's credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomHeaders(Vec<(HeaderName, SecretText)>);

impl CustomHeaders {
    /// Parses pairs of name and value; white space around a value is dropped, as HTTP does.
    ///
    /// # Errors
    ///
    /// Says which rule which header breaks. Values are never part of the message.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, CustomHeadersError> {
        let mut headers: Vec<(HeaderName, SecretText)> = Vec::new();
        let mut total_bytes = 0;
        for (name, value) in pairs {
            if headers.len() == MAX_HEADERS {
                return Err(CustomHeadersError::TooMany);
            }
            let name = HeaderName::parse(name)?;
            if headers.iter().any(|(other, _)| *other == name) {
                return Err(CustomHeadersError::Duplicate(name));
            }
            let value = parse_value(&name, value)?;
            total_bytes += name.as_str().len() + value.len();
            if total_bytes > MAX_TOTAL_BYTES {
                return Err(CustomHeadersError::TotalTooLong);
            }
            headers.push((name, SecretText::new(value)));
        }
        Ok(Self(headers))
    }

    /// The headers in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &SecretText)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Says whether a header of this name is set, in whatever case.
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.iter().any(|(other, _)| other == name)
    }
}

/// Why custom headers are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustomHeadersError {
    /// More than [`MAX_HEADERS`].
    #[error("at most {MAX_HEADERS} custom headers are allowed")]
    TooMany,
    /// A name that cannot be used.
    #[error(transparent)]
    Name(#[from] HeaderNameError),
    /// The same name twice.
    #[error("header '{0}' is given twice (header names are the same in any case)")]
    Duplicate(HeaderName),
    /// A value with a character outside visible ASCII, space and tab.
    #[error("the value of header '{0}' may only contain visible ASCII, spaces and tabs")]
    ForbiddenCharacter(HeaderName),
    /// A value longer than [`MAX_VALUE_BYTES`].
    #[error("the value of header '{0}' must be at most {MAX_VALUE_BYTES} bytes long")]
    ValueTooLong(HeaderName),
    /// All together are longer than [`MAX_TOTAL_BYTES`].
    #[error("custom headers must be at most {MAX_TOTAL_BYTES} bytes long in all")]
    TotalTooLong,
}

fn parse_value<'a>(name: &HeaderName, value: &'a str) -> Result<&'a str, CustomHeadersError> {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t');
    if !value.bytes().all(is_allowed) {
        return Err(CustomHeadersError::ForbiddenCharacter(name.clone()));
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(CustomHeadersError::ValueTooLong(name.clone()));
    }
    Ok(value.trim_matches([' ', '\t']))
}

/// RFC 9110 §5.6.2, `tchar`.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse_one(name: &str, value: &str) -> Result<CustomHeaders, CustomHeadersError> {
        CustomHeaders::parse([(name, value)])
    }

    #[test]
    fn ordinary_headers_are_kept_as_written() {
        let headers =
            CustomHeaders::parse([("X-Api-Key", " a\tb "), ("Authorization", "Bearer t")])
                .expect("both headers are allowed");
        let pairs: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        assert_eq!(
            pairs,
            [("X-Api-Key", "a\tb"), ("Authorization", "Bearer t")]
        );
    }

    #[test]
    fn reserved_names_are_refused_in_any_case() {
        for name in [
            "Host",
            "CONTENT-LENGTH",
            "Content-Type",
            "Webhook-Id",
            "te",
            "Proxy-Foo",
        ] {
            assert_eq!(
                parse_one(name, "x"),
                Err(HeaderNameError::Reserved(name.to_owned()).into())
            );
        }
        assert!(!is_reserved_header("X-Host"));
        assert!(!is_reserved_header("Webhook"));
    }

    #[test]
    fn values_cannot_split_the_request() {
        for value in ["a\r\nHost: b", "a\nb", "a\0b", "ä", "\u{7f}"] {
            assert!(matches!(
                parse_one("X-A", value),
                Err(CustomHeadersError::ForbiddenCharacter(_))
            ));
        }
        for name in ["", "X A", "X:A", "X\r\nA", "Ä"] {
            assert_eq!(
                parse_one(name, "x"),
                Err(HeaderNameError::NotAToken.into()),
                "{name:?}"
            );
        }
    }

    #[test]
    fn duplicates_and_excesses_are_refused() {
        assert!(matches!(
            CustomHeaders::parse([("X-A", "1"), ("x-a", "2")]),
            Err(CustomHeadersError::Duplicate(_))
        ));
        assert!(matches!(
            parse_one("X-A", &"x".repeat(MAX_VALUE_BYTES + 1)),
            Err(CustomHeadersError::ValueTooLong(_))
        ));
        let names: Vec<String> = (0..=MAX_HEADERS).map(|n| format!("X-{n}")).collect();
        let many = names.iter().map(|name| (name.as_str(), ""));
        assert_eq!(
            CustomHeaders::parse(many.clone()),
            Err(CustomHeadersError::TooMany)
        );
        assert!(CustomHeaders::parse(many.take(MAX_HEADERS)).is_ok());
        let long = "x".repeat(MAX_VALUE_BYTES);
        let heavy = names.iter().take(4).map(|name| (name.as_str(), &*long));
        assert_eq!(
            CustomHeaders::parse(heavy),
            Err(CustomHeadersError::TotalTooLong)
        );
    }

    #[test]
    fn debug_and_errors_do_not_show_values() {
        let headers = parse_one("X-A", "hunter2").expect("the header is allowed");
        assert!(!format!("{headers:?}").contains("hunter2"));
        let error = parse_one("X-A", "hunter2\n").expect_err("a line feed is refused");
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_stays_on_its_line(name: String, value: String) {
            if let Ok(headers) = parse_one(&name, &value) {
                for (name, value) in headers.iter() {
                    prop_assert!(name.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                    prop_assert!(!value.expose().contains(['\r', '\n', '\0']));
                }
            }
        }
    }
}
