//! Secrets that answers show: the only texts of ours that leave the process in clear.

use std::fmt;

use actix_web::http::header::{self, HeaderName};
use reprise_core::secret::SecretText;
use serde::{Serialize, Serializer};

/// On every answer that shows a secret for the one time: no cache on the way may keep it (RFC 9111 section 5.2.2.5).
pub const NO_STORE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

/// A text that the caller may see and nobody else: it is written into answers, and `Debug` does not show it. Besides
/// secrets, URLs and headers are such, in which receivers' credentials may stand.
pub struct ShownSecret(SecretText);

impl ShownSecret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretText::new(text))
    }
}

impl fmt::Debug for ShownSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for ShownSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_in_answers_and_not_by_debug() {
        let secret = ShownSecret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(serde_json::to_value(&secret).unwrap(), "hunter2");
    }
}
