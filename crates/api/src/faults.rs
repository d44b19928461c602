//! Reading JSON and queries field by field, so that a client is told all of its faults at once.
//!
//! Serde stops at the first fault. Here a body is parsed into a map of raw values, each field is read by a function
//! that notes what is wrong and goes on, and the caller gets either everything or the whole list. Types, messages and
//! places are those of FastAPI with Pydantic v2.

mod body;
mod field;
mod json;
mod json_position;
mod query;
mod shape;
mod whole;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{AnyOfBuilder, Array, ArrayBuilder, Object, ObjectBuilder, Type};

pub use body::{Fields, list_body};
pub use field::Field;
pub use query::Query;

/// Faults told at once at most: some hundred KB, besides what they repeat of the request's own names. A body can have a
/// million, of two bytes each.
const MAX_FAULTS: usize = 1_000;

/// One step of the way to a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Step {
    /// `body`, `query`, or a field's name.
    Name(String),
    /// An index in an array, or a position in a text.
    Index(usize),
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(title = "ValidationError", as = ValidationError)]
pub struct Fault {
    /// Where it is.
    #[schema(schema_with = location_schema)]
    pub loc: Vec<Step>,
    /// What is wrong, for people.
    #[schema(schema_with = message_schema)]
    pub msg: String,
    /// What is wrong, for programs.
    #[serde(rename = "type")]
    #[schema(schema_with = kind_schema)]
    pub kind: String,
}

/// A's schema of a `loc`.
fn location_schema() -> Array {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let number = ObjectBuilder::new().schema_type(Type::Integer);
    ArrayBuilder::new()
        .title(Some("Location"))
        .items(AnyOfBuilder::new().item(text).item(number))
        .build()
}

/// A's schema of a `msg`.
fn message_schema() -> Object {
    ObjectBuilder::new()
        .title(Some("Message"))
        .schema_type(Type::String)
        .build()
}

/// A's schema of a `type`.
fn kind_schema() -> Object {
    ObjectBuilder::new()
        .title(Some("Error Type"))
        .schema_type(Type::String)
        .build()
}

/// The faults of one request, noted by everybody who reads a part of it.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Vec<Fault>>>);

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a fault. Past [`MAX_FAULTS`] no more are kept.
    pub fn note(&self, loc: Vec<Step>, kind: &str, msg: impl Into<String>) {
        let mut faults = self.lock();
        if faults.len() >= MAX_FAULTS {
            return;
        }
        faults.push(Fault {
            loc,
            msg: msg.into(),
            kind: kind.to_owned(),
        });
    }

    /// A single fault.
    pub fn one(loc: Vec<Step>, kind: &str, msg: impl Into<String>) -> Self {
        let faults = Self::default();
        faults.note(loc, kind, msg);
        faults
    }

    /// What was noted so far.
    #[must_use]
    pub fn list(&self) -> Vec<Fault> {
        self.lock().clone()
    }

    /// Whether nothing was noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The value, if it could be read and nothing at all was noted.
    ///
    /// # Errors
    ///
    /// The faults otherwise. A value that is missing without a fault is a mistake of the reader, and reported as one.
    pub fn unless<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.is_empty() => Ok(value),
            Some(_) => Err(self),
            None => {
                if self.is_empty() {
                    self.note(vec![name("body")], "value_error", "Value error, unreadable");
                }
                Err(self)
            }
        }
    }
}

/// A step by name.
pub fn name(text: &str) -> Step {
    Step::Name(text.to_owned())
}
