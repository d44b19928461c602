//! What stands before a signature.

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
    pub fn parse(text: &str) -> Result<Self, SignaturePrefixError> {
        if text.len() > Self::MAX_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SignaturePrefixError);
        }
        Ok(Self(text.to_owned()))
    }

    /// The prefix as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A prefix that is too long, or has a character that is not visible ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the prefix must be at most {} visible ASCII characters",
    SignaturePrefix::MAX_BYTES
)]
pub struct SignaturePrefixError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_short_and_visible() {
        for text in ["a b", "a\r\nb", "ä", &"x".repeat(33)] {
            assert_eq!(SignaturePrefix::parse(text), Err(SignaturePrefixError));
        }
        assert!(SignaturePrefix::parse(&"x".repeat(32)).is_ok());
    }
}
