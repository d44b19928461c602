//! A JSON body as named fields.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::value::RawValue;

use super::json::{MAX_DEPTH, parse};
use super::shape::Source;
use super::{Faults, Field, Step, name};

/// Reads a body that must be a JSON list of objects. An item that is no object is noted, and `None`.
///
/// # Errors
///
/// One fault when it is no JSON, nested too deeply, no list, or too short or long.
pub fn list_body<'a>(
    body: &'a [u8],
    lengths: RangeInclusive<usize>,
    faults: &Faults,
) -> Result<Vec<Option<Fields<'a>>>, Faults> {
    let found = Faults::default();
    let body = Field::new(
        Source::Json(parse(body, MAX_DEPTH + 1)?),
        vec![name("body")],
        found.clone(),
    );
    let items = body.items(lengths).ok_or(found)?;
    let items = items.into_iter().enumerate().map(|(index, item)| {
        let loc = vec![name("body"), Step::Index(index)];
        Field::new(Source::Json(item), loc, faults.clone()).object()
    });
    Ok(items.collect())
}

/// The fields of an object. What has not been taken when [`Fields::finish`] is called is refused.
#[derive(Debug)]
pub struct Fields<'a> {
    values: BTreeMap<String, &'a RawValue>,
    loc: Vec<Step>,
    faults: Faults,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(
        values: BTreeMap<String, &'a RawValue>,
        loc: Vec<Step>,
        faults: Faults,
    ) -> Self {
        Self {
            values,
            loc,
            faults,
        }
    }

    /// Reads a body that must be a JSON object.
    ///
    /// # Errors
    ///
    /// One fault when it is no JSON, nested too deeply, or no object.
    pub fn from_body(body: &'a [u8], faults: &Faults) -> Result<Self, Faults> {
        let found = Faults::default();
        let source = Source::Json(parse(body, MAX_DEPTH)?);
        match Field::new(source, vec![name("body")], found.clone()).object() {
            Some(fields) => Ok(Self {
                faults: faults.clone(),
                ..fields
            }),
            None => Err(found),
        }
    }

    /// Reads a body that may be left out: nothing stands for an object without fields.
    ///
    /// # Errors
    ///
    /// As [`from_body`](Self::from_body).
    pub fn from_optional_body(body: &'a [u8], faults: &Faults) -> Result<Self, Faults> {
        let body = if body.is_empty() { b"{}" } else { body };
        Self::from_body(body, faults)
    }

    fn at(&self, field: &str) -> Vec<Step> {
        let mut loc = self.loc.clone();
        loc.push(name(field));
        loc
    }

    /// Whether a field is there and has not been taken.
    pub fn has(&self, field: &str) -> bool {
        self.values.contains_key(field)
    }

    /// Takes a field's exact text.
    pub fn take_raw(&mut self, field: &str) -> Option<&'a RawValue> {
        self.values.remove(field)
    }

    /// Takes a field, if it is there.
    pub fn take(&mut self, field: &str) -> Option<Field<'a>> {
        let raw = self.values.remove(field)?;
        let source = Source::Json(raw);
        Some(Field::new(source, self.at(field), self.faults.clone()))
    }

    /// Takes a field that may be absent or `null`.
    pub fn optional<T>(
        &mut self,
        field: &str,
        read: impl FnOnce(Field<'a>) -> Option<T>,
    ) -> Option<T> {
        self.take(field)
            .filter(|field| !field.is_null())
            .and_then(read)
    }

    /// Takes a field whose `null` means its default, and tells one that is absent (`Some(None)`) from one that can't be
    /// read (`None`).
    pub fn readable<T>(
        &mut self,
        field: &str,
        default: T,
        read: impl FnOnce(Field<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.take(field) {
            None => Some(None),
            Some(field) if field.is_null() => Some(Some(default)),
            Some(field) => read(field).map(Some),
        }
    }

    /// Takes a field that must be there.
    pub fn required<T>(
        &mut self,
        field: &str,
        read: impl FnOnce(Field<'a>) -> Option<T>,
    ) -> Option<T> {
        if !self.has(field) {
            self.faults
                .note(self.at(field), "missing", "Field required");
            return None;
        }
        self.take(field).and_then(read)
    }

    /// Notes a fault of one field.
    pub fn note(&self, field: &str, kind: &str, msg: impl Into<String>) {
        self.faults.note(self.at(field), kind, msg);
    }

    /// Refuses what is left.
    pub fn finish(self) {
        for field in self.values.keys() {
            self.note(field, "extra_forbidden", "Extra inputs are not permitted");
        }
    }
}

#[cfg(test)]
mod tests;
