//! A JSON body as named fields.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Faults, Field, Step, json_position, name};

/// Deepest nesting of arrays and objects in an object of a body.
pub const MAX_DEPTH: usize = 128;

/// Reads a body that must be a JSON list of objects. An item that is no object is noted, and `None`.
///
/// # Errors
///
/// One fault when it is no JSON, nested too deeply, no list, or too short or long.
pub fn list_body(
    body: &[u8],
    lengths: RangeInclusive<usize>,
    faults: &Faults,
) -> Result<Vec<Option<Fields>>, Faults> {
    let loc = vec![name("body")];
    let raw = parse(body, MAX_DEPTH + 1)?;
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        return Err(Faults::one(
            loc,
            "list_type",
            "Input should be a valid list",
        ));
    };
    let (length, min, max) = (items.len(), *lengths.start(), *lengths.end());
    if let Some((kind, message)) = length_fault("List", length, min, max) {
        return Err(Faults::one(loc, kind, message));
    }
    let items = items.into_iter().enumerate().map(|(index, item)| {
        let loc = vec![name("body"), Step::Index(index)];
        Fields::from_raw(item, loc, faults)
    });
    Ok(items.collect())
}

/// What is wrong with a list or dictionary of this length.
pub(super) fn length_fault(
    what: &str,
    length: usize,
    min: usize,
    max: usize,
) -> Option<(&'static str, String)> {
    let (kind, bound, limit) = if length < min {
        ("too_short", "least", min)
    } else if length > max {
        ("too_long", "most", max)
    } else {
        return None;
    };
    let items = if limit == 1 { "item" } else { "items" };
    let message =
        format!("{what} should have at {bound} {limit} {items} after validation, not {length}");
    Some((kind, message))
}

/// A body as JSON text.
fn parse(body: &[u8], max_depth: usize) -> Result<&RawValue, Faults> {
    let loc = vec![name("body")];
    if body.is_empty() {
        return Err(Faults::one(loc, "missing", "Field required"));
    }
    if json_depth(body) > max_depth {
        let message = format!("Value error, JSON is nested deeper than {MAX_DEPTH} levels");
        return Err(Faults::one(loc, "value_error", message));
    }
    serde_json::from_slice(body).map_err(|_| not_json(body))
}

/// The fields of an object. What has not been taken when [`Fields::finish`] is called is refused.
#[derive(Debug)]
pub struct Fields {
    values: BTreeMap<String, Box<RawValue>>,
    loc: Vec<Step>,
    faults: Faults,
}

impl Fields {
    /// Reads a body that must be a JSON object.
    ///
    /// # Errors
    ///
    /// One fault when it is no JSON, nested too deeply, or no object.
    pub fn from_body(body: &[u8], faults: &Faults) -> Result<Self, Faults> {
        let found = Faults::default();
        match Self::from_raw(parse(body, MAX_DEPTH)?, vec![name("body")], &found) {
            Some(fields) => Ok(Self {
                faults: faults.clone(),
                ..fields
            }),
            None => Err(found),
        }
    }

    /// Reads a value that must be an object; noted if it is none.
    fn from_raw(raw: &RawValue, loc: Vec<Step>, faults: &Faults) -> Option<Self> {
        match serde_json::from_str(raw.get()) {
            Ok(values) => Some(Self {
                values,
                loc,
                faults: faults.clone(),
            }),
            Err(_) => {
                let message = "Input should be a valid dictionary or object to extract fields from";
                faults.note(loc, "model_attributes_type", message);
                None
            }
        }
    }

    /// Reads a body that may be left out: nothing stands for an object without fields.
    ///
    /// # Errors
    ///
    /// As [`from_body`](Self::from_body).
    pub fn from_optional_body(body: &[u8], faults: &Faults) -> Result<Self, Faults> {
        let body = if body.is_empty() { b"{}" } else { body };
        Self::from_body(body, faults)
    }

    pub(super) fn from_map(map: Map<String, Value>, loc: Vec<Step>, faults: Faults) -> Self {
        let values = map
            .into_iter()
            .filter_map(|(key, value)| Some((key, serde_json::value::to_raw_value(&value).ok()?)))
            .collect();
        Self {
            values,
            loc,
            faults,
        }
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
    pub fn take_raw(&mut self, field: &str) -> Option<Box<RawValue>> {
        self.values.remove(field)
    }

    /// Takes a field; `None` when it is absent, or is a text that is no Unicode (noted).
    pub fn take(&mut self, field: &str) -> Option<Field> {
        let raw = self.values.remove(field)?;
        match serde_json::from_str(raw.get()) {
            Ok(value) => Some(Field::new(value, self.at(field), self.faults.clone())),
            Err(_) => {
                // It is JSON, so what can't be read is a number or a text, here or within.
                let is_number = raw
                    .get()
                    .starts_with(|first: char| first == '-' || first.is_ascii_digit());
                let (kind, message) = if is_number {
                    ("finite_number", "Input should be a finite number")
                } else {
                    (
                        "string_unicode",
                        "Input should be a valid string, unable to parse raw data as a unicode string",
                    )
                };
                self.faults.note(self.at(field), kind, message);
                None
            }
        }
    }

    /// Takes a field that may be absent or `null`.
    pub fn optional<T>(&mut self, field: &str, read: impl FnOnce(Field) -> Option<T>) -> Option<T> {
        self.take(field)
            .filter(|field| !field.is_null())
            .and_then(read)
    }

    /// Takes a field that may be absent or `null`, and tells that (`Some(None)`) from one that can't be read (`None`).
    pub fn readable<T>(
        &mut self,
        field: &str,
        read: impl FnOnce(Field) -> Option<T>,
    ) -> Option<Option<T>> {
        if !self.has(field) {
            return Some(None);
        }
        let value = self.take(field)?;
        if value.is_null() {
            return Some(None);
        }
        read(value).map(Some)
    }

    /// Takes a field that must be there.
    pub fn required<T>(&mut self, field: &str, read: impl FnOnce(Field) -> Option<T>) -> Option<T> {
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

/// FastAPI's fault for what is no JSON. What is no text either is at fault where it stops being one.
fn not_json(body: &[u8]) -> Faults {
    let position = match std::str::from_utf8(body) {
        Ok(text) => json_position::of_fault(text),
        Err(error) => error.valid_up_to(),
    };
    Faults::one(
        vec![name("body"), Step::Index(position)],
        "json_invalid",
        "JSON decode error",
    )
}

/// How deeply arrays and objects are nested in a text. Exact for JSON; for anything else some number.
fn json_depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::super::Fault;
    use super::*;

    fn kinds(faults: &Faults) -> Vec<String> {
        faults
            .list()
            .into_iter()
            .map(|fault: Fault| fault.kind)
            .collect()
    }

    #[test]
    fn brackets_in_texts_are_no_depth() {
        assert_eq!(json_depth(br#"{"a": "[[[\"[[", "b": [1, {"c": 2}]}"#), 3);
        assert_eq!(json_depth(b"1"), 0);
    }

    #[test]
    fn all_faults_are_noted_at_once() {
        let faults = Faults::default();
        let mut fields =
            Fields::from_body(br#"{"b": 7, "c": ["x", 2, 3], "d": 1}"#, &faults).unwrap();
        let a: Option<String> = fields.required("a", Field::text);
        let b = fields.required("b", Field::text);
        let c = fields.required("c", |field| field.list(0..=3, Field::text));
        fields.finish();
        assert!(a.is_none() && b.is_none() && c.is_none());
        assert_eq!(
            kinds(&faults),
            [
                "missing",
                "string_type",
                "string_type",
                "string_type",
                "extra_forbidden"
            ]
        );
        assert_eq!(
            faults.list()[3].loc,
            [name("body"), name("c"), Step::Index(2)]
        );
    }

    #[test]
    fn what_is_no_json_is_one_fault_with_its_position() {
        let faults = Fields::from_body(b"{\"a\": 1,\n  oops}", &Faults::default()).unwrap_err();
        assert_eq!(faults.list()[0].loc, [name("body"), Step::Index(11)]);
        let faults = Fields::from_body(b"[1]", &Faults::default()).unwrap_err();
        assert_eq!(kinds(&faults), ["model_attributes_type"]);
    }

    #[test]
    fn numbers_are_read_as_pydantic_reads_them() {
        let read = |json: &str| {
            let faults = Faults::default();
            let body = format!("{{\"n\": {json}}}");
            let number = Fields::from_body(body.as_bytes(), &faults)
                .unwrap()
                .required("n", |field| field.integer(1..=60));
            (number, kinds(&faults).pop())
        };
        assert_eq!(read("5"), (Some(5), None));
        assert_eq!(read("5.0"), (Some(5), None));
        assert_eq!(read("\"5\""), (Some(5), None));
        assert_eq!(read("5.5").1.unwrap(), "int_from_float");
        assert_eq!(read("0").1.unwrap(), "greater_than_equal");
        assert_eq!(read("61").1.unwrap(), "less_than_equal");
        assert_eq!(read("1e300").1.unwrap(), "less_than_equal");
        assert_eq!(
            read("99999999999999999999999").1.unwrap(),
            "less_than_equal"
        );
        assert_eq!(
            read("\"-99999999999999999999999\"").1.unwrap(),
            "greater_than_equal"
        );
        assert_eq!(read("\"5.0\""), (Some(5), None));
        assert_eq!(read("true"), (Some(1), None));
        assert_eq!(read("false").1.unwrap(), "greater_than_equal");
        assert_eq!(read("[]").1.unwrap(), "int_type");
        assert_eq!(read("\"5.5\"").1.unwrap(), "int_parsing");
        assert_eq!(read("\"x\"").1.unwrap(), "int_parsing");
    }
}
