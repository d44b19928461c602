//! Header names and values that a tenant may choose for the requests to its receivers.

mod name;

use crate::secret::SecretText;

pub use name::{HeaderName, HeaderNameError, MAX_NAME_BYTES, is_reserved_header};

/// Longest header value in bytes: room for a signed token; receivers commonly refuse more than 8 KiB
/// of headers in all.
pub const MAX_VALUE_BYTES: usize = 1024;

/// Most bytes of all names and values together, so that ours still fit beside them into the 8 KiB.
pub const MAX_TOTAL_BYTES: usize = 4096;

/// Most custom headers of an endpoint; common servers refuse requests with more than about 100.
pub const MAX_HEADERS: usize = 32;

/// The headers that an endpoint's requests carry besides ours.
///
/// Values are secrets: they often hold a receiver's credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomHeaders(Vec<(HeaderName, SecretText)>);

impl CustomHeaders {
    /// Parses pairs of name and value.
    ///
    /// # Errors
    ///
    /// The first fault; [`CustomHeadersDraft`] is for those who want all.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, CustomHeadersError> {
        let mut draft = CustomHeadersDraft::default();
        for (name, value) in pairs {
            draft.add(name, value)?;
        }
        draft.finish()
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

/// Custom headers that are taken one by one, so that each fault can be told beside its header.
#[derive(Debug, Default)]
pub struct CustomHeadersDraft(CustomHeaders);

impl CustomHeadersDraft {
    /// Takes one more header; white space around its value is dropped, as HTTP does.
    ///
    /// # Errors
    ///
    /// Says which rule it breaks, and it is not taken. The value is never part of the message.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), CustomHeadersError> {
        let CustomHeaders(headers) = &mut self.0;
        if headers.len() == MAX_HEADERS {
            return Err(CustomHeadersError::TooMany);
        }
        let name = HeaderName::parse(name)?;
        if headers.iter().any(|(other, _)| *other == name) {
            return Err(CustomHeadersError::Duplicate(name));
        }
        let value = SecretText::new(parse_value(&name, value)?);
        headers.push((name, value));
        Ok(())
    }

    /// All that were taken.
    ///
    /// # Errors
    ///
    /// [`CustomHeadersError::TotalTooLong`].
    pub fn finish(self) -> Result<CustomHeaders, CustomHeadersError> {
        let bytes =
            |(name, value): (&HeaderName, &SecretText)| name.as_str().len() + value.expose().len();
        if self.0.iter().map(bytes).sum::<usize>() > MAX_TOTAL_BYTES {
            return Err(CustomHeadersError::TotalTooLong);
        }
        Ok(self.0)
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
    fn values_cannot_split_the_request() {
        for value in ["a\r\nHost: b", "a\nb", "a\0b", "ä", "\u{7f}"] {
            assert!(matches!(
                parse_one("X-A", value),
                Err(CustomHeadersError::ForbiddenCharacter(_))
            ));
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
    fn what_is_refused_is_not_taken_and_the_rest_is() {
        let mut draft = CustomHeadersDraft::default();
        for (name, value, is_good) in [
            ("X A", "1", false),
            ("X-A", "1", true),
            ("X-B", "1\n", false),
            ("x-a", "2", false),
            ("X-B", "2", true),
        ] {
            assert_eq!(draft.add(name, value).is_ok(), is_good, "{name}: {value:?}");
        }
        let taken = CustomHeaders::parse([("X-A", "1"), ("X-B", "2")]);
        assert_eq!(draft.finish(), taken);
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
        fn whatever_is_accepted_stays_on_its_line(
            name in "X-[a-z]{1,8}|.{0,8}",
            // Among any characters at all the few that matter would never come under a good name.
            value in "[ -~\r\n\0]{0,20}|.{0,20}",
        ) {
            if let Ok(headers) = parse_one(&name, &value) {
                for (name, value) in headers.iter() {
                    prop_assert!(name.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                    prop_assert!(!value.expose().contains(['\r', '\n', '\0']));
                }
            }
        }
    }
}
