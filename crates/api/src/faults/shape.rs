//! A value as it was sent, read one level at a time.
//!
//! JSON allows what no type of ours holds: numbers beyond every float, and texts that are no Unicode. Read level by
//! level, such a value is told where it is, and what nobody asks for is never read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Number;
use serde_json::value::RawValue;

/// Where a value comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// A part of a JSON text.
    Json(&'a RawValue),
    /// A parameter of a query.
    Text(&'a str),
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Shape<'a> {
    Null,
    Bool(bool),
    /// None: beyond every float.
    Number(Option<Number>),
    /// None: not Unicode.
    Text(Option<Cow<'a, str>>),
    List(Vec<&'a RawValue>),
    /// None: a name that is not Unicode.
    Object(Option<BTreeMap<String, &'a RawValue>>),
}

impl<'a> Source<'a> {
    /// Reads one level of it.
    pub(super) fn shape(self) -> Shape<'a> {
        let raw = match self {
            Self::Json(raw) => raw.get(),
            Self::Text(text) => return Shape::Text(Some(Cow::Borrowed(text))),
        };
        // It is JSON, so its first character says what it is.
        match raw.as_bytes().first() {
            Some(b'n') | None => Shape::Null,
            Some(b't') => Shape::Bool(true),
            Some(b'f') => Shape::Bool(false),
            Some(b'"') => Shape::Text(serde_json::from_str(raw).ok().map(Cow::Owned)),
            Some(b'[') => Shape::List(serde_json::from_str(raw).unwrap_or_default()),
            Some(b'{') => Shape::Object(serde_json::from_str(raw).ok()),
            Some(_) => Shape::Number(serde_json::from_str(raw).ok()),
        }
    }

    /// Whether it is `null`.
    pub(super) fn is_null(self) -> bool {
        matches!(self, Self::Json(raw) if raw.get() == "null")
    }
}
