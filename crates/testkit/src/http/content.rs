//! Request bodies with their media types.

use hyper::body::Bytes;
use serde_json::Value;

/// The body of a request.
#[derive(Debug, Clone)]
pub struct Content {
    pub(super) media_type: String,
    pub(super) body: Bytes,
}

impl Content {
    /// Any bytes under any media type.
    #[must_use]
    pub fn new(media_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            media_type: media_type.to_owned(),
            body: body.into(),
        }
    }

    /// A JSON document.
    #[must_use]
    pub fn json(document: &Value) -> Self {
        Self::new("application/json", document.to_string())
    }

    /// An HTML form.
    #[must_use]
    pub fn form(fields: &[(&str, &str)]) -> Self {
        let encoded = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        Self::new("application/x-www-form-urlencoded", encoded)
    }
}
