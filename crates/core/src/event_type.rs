//! Event types, the patterns by which an endpoint chooses among them, and event groups.
//!
//! Two families of API meet here: one writes `invoice.paid`, the other `invoice:paid`. A type is
//! kept and sent as it was published; in matching, the two separators are the same.

use std::fmt;

/// Longest event type, pattern and group in bytes; the database's columns check the same.
///
/// Longer ones would make the indexes on type and group pages large, shorter ones would refuse
/// real names.
pub const MAX_BYTES: usize = 128;

/// What happened, as published: segments of `[A-Za-z0-9_-]+` joined by `.` or `:`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType(String);

impl EventType {
    /// Parses an event type.
    ///
    /// # Errors
    ///
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, EventTypeError> {
        check_length(text)?;
        check_segments(text)?;
        Ok(Self(text.to_owned()))
    }

    /// What asking for a test publishes.
    #[must_use]
    pub fn test() -> Self {
        Self("webhook.test".to_owned())
    }

    /// What verifying an endpoint sends.
    #[must_use]
    pub fn challenge() -> Self {
        Self("webhook.challenge".to_owned())
    }

    /// Whether nobody else may publish it: receivers answer a challenge without asking who sent it.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        *self == Self::challenge()
    }

    /// The type as it was published.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A choice of event types: one type, everything below a prefix (`invoice.*`), or all (`*`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventPattern {
    text: String,
    scope: Scope,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Scope {
    Everything,
    Exactly,
    /// The types below the prefix that ends after so many bytes of the text.
    Below(usize),
}

impl EventPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, EventTypeError> {
        check_length(text)?;
        let scope = if text == "*" {
            Scope::Everything
        } else if let Some(prefix) = prefix_of(text) {
            check_segments(prefix)?;
            Scope::Below(prefix.len())
        } else {
            check_segments(text)?;
            Scope::Exactly
        };
        Ok(Self {
            text: text.to_owned(),
            scope,
        })
    }

    /// Says whether the pattern chooses this event type; the separators match alike.
    pub fn matches(&self, event_type: &EventType) -> bool {
        let event_type = event_type.0.as_bytes();
        match self.scope {
            Scope::Everything => true,
            Scope::Exactly => is_same(self.text.as_bytes(), event_type),
            Scope::Below(prefix_bytes) => {
                // The pattern without its `*` ends in a separator, and so must the type's head: a
                // type cannot end in a separator, thus the prefix itself never matches.
                let head_bytes = prefix_bytes + 1;
                event_type.len() > head_bytes
                    && is_same(
                        &self.text.as_bytes()[..head_bytes],
                        &event_type[..head_bytes],
                    )
            }
        }
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl EventPattern {
    /// Whether it is `*`.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.scope == Scope::Everything
    }

    /// The prefix of a pattern for everything below it.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        match self.scope {
            Scope::Below(end) => self.text.get(..end),
            Scope::Everything | Scope::Exactly => None,
        }
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A name under which a publisher gathers related events, such as a customer's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventGroup(String);

impl EventGroup {
    /// Parses a group: any text of 1 to 128 bytes without control characters.
    ///
    /// # Errors
    ///
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, EventTypeError> {
        check_length(text)?;
        if text.chars().any(char::is_control) {
            return Err(EventTypeError::ControlCharacter);
        }
        Ok(Self(text.to_owned()))
    }

    /// The group as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not an event type, pattern or group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventTypeError {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// The text is longer than [`MAX_BYTES`].
    #[error("must be at most {MAX_BYTES} bytes long")]
    TooLong,
    /// A character that no segment may have; a `*` in an odd place, too.
    #[error(
        "may only contain ASCII letters, digits, '_' and '-', joined by '.' or ':' (in a pattern, \
         also a single '*' as the last part)"
    )]
    ForbiddenCharacter,
    /// Two separators in a row, or one at either end.
    #[error("must not have an empty part before, between or after the separators '.' and ':'")]
    EmptySegment,
    /// A control character in a group.
    #[error("must not contain control characters")]
    ControlCharacter,
}

fn check_length(text: &str) -> Result<(), EventTypeError> {
    match text.len() {
        0 => Err(EventTypeError::Empty),
        1..=MAX_BYTES => Ok(()),
        _ => Err(EventTypeError::TooLong),
    }
}

fn check_segments(text: &str) -> Result<(), EventTypeError> {
    for segment in text.split(['.', ':']) {
        if segment.is_empty() {
            return Err(EventTypeError::EmptySegment);
        }
        if !segment.bytes().all(is_segment_byte) {
            return Err(EventTypeError::ForbiddenCharacter);
        }
    }
    Ok(())
}

fn is_segment_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'.' | b':')
}

/// The `invoice` of `invoice.*` or `invoice:*`.
fn prefix_of(pattern: &str) -> Option<&str> {
    pattern
        .strip_suffix(".*")
        .or_else(|| pattern.strip_suffix(":*"))
}

/// Compares byte by byte, taking the separators for one another.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && std::iter::zip(a, b).all(|(&a, &b)| a == b || (is_separator(a) && is_separator(b)))
}

#[cfg(test)]
mod tests;
