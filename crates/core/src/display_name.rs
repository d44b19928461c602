//! Names that people give to tenants, users and API keys.

use std::fmt;

use thiserror::Error;

/// Characters at most; the schema's `CHECK`s allow no more.
const MAX_CHARS: usize = 200;

/// A name for people: 1 to 200 characters, not only white space, no control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplayName(String);

/// The text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must have 1 to {MAX_CHARS} characters, none of them control characters")]
pub struct DisplayNameError;

impl DisplayName {
    /// Parses a name; it is kept as it was written.
    ///
    /// # Errors
    ///
    /// [`DisplayNameError`] when it is empty, too long, or would garble a terminal or a log.
    pub fn parse(text: &str) -> Result<Self, DisplayNameError> {
        let is_good = !text.trim().is_empty()
            && text.chars().count() <= MAX_CHARS
            && !text.chars().any(char::is_control);
        if is_good {
            Ok(Self(text.to_owned()))
        } else {
            Err(DisplayNameError)
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_visible_and_kept_as_written() {
        let name = DisplayName::parse(" Zoë & Söhne ").unwrap();
        assert_eq!(name.as_str(), " Zoë & Söhne ");
        assert!(DisplayName::parse(&"ö".repeat(200)).is_ok());
        for bad in ["", "   ", "a\0b", "a\nb", "\u{7f}", &"ö".repeat(201)] {
            assert_eq!(DisplayName::parse(bad), Err(DisplayNameError), "{bad:?}");
        }
    }
}
