//! One value of a body: read as what it should be, or noted as a fault.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::body::length_fault;
use super::{Faults, Fields, Step, name};

/// A value and the way to it.
#[derive(Clone, Debug)]
pub struct Field {
    value: Value,
    loc: Vec<Step>,
    faults: Faults,
}

impl Field {
    pub(super) fn new(value: Value, loc: Vec<Step>, faults: Faults) -> Self {
        Self { value, loc, faults }
    }

    /// Notes a fault of Pydantic's kind here.
    pub fn fault<T>(&self, kind: &str, msg: impl Into<String>) -> Option<T> {
        self.faults.note(self.loc.clone(), kind, msg);
        None
    }

    /// Notes what a parser said, as Pydantic shows an exception of a validator.
    pub fn value_error<T>(&self, error: impl std::fmt::Display) -> Option<T> {
        self.fault("value_error", format!("Value error, {error}"))
    }

    /// The result of a parser, or its error as a fault.
    pub fn check<T, E: std::fmt::Display>(&self, parsed: Result<T, E>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(error) => self.value_error(error),
        }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// A text without a bound of its own.
    pub fn text(self) -> Option<String> {
        match self.value {
            Value::String(text) => Some(text),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => self.fault("string_type", "Input should be a valid string"),
        }
    }

    /// A text of at most so many characters, without NUL, which PostgreSQL can't keep.
    pub fn text_up_to(self, max_chars: usize) -> Option<String> {
        let field = self.clone();
        let text = self.text()?;
        if text.chars().count() > max_chars {
            return field.fault(
                "string_too_long",
                format!("String should have at most {max_chars} characters"),
            );
        }
        if text.contains('\0') {
            return field.value_error("NUL characters are not allowed");
        }
        Some(text)
    }

    /// A text that a parser accepts.
    pub fn parse<T, E: std::fmt::Display>(
        self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let field = self.clone();
        let text = self.text()?;
        field.check(parse(&text))
    }

    /// One of a few words.
    pub fn one_of<T: Copy + std::fmt::Display>(self, all: &[T]) -> Option<T> {
        let field = self.clone();
        let text = self.text()?;
        let found = all.iter().find(|one| one.to_string() == text);
        found.copied().or_else(|| {
            let words: Vec<String> = all.iter().map(|one| format!("'{one}'")).collect();
            let (last, others) = words.split_last()?;
            let message = format!("Input should be {} or {last}", others.join(", "));
            field.fault("enum", message)
        })
    }

    /// A whole number. Like Pydantic, takes `5.0`, `"5"` and `"5.0"` for 5, and `true` for 1.
    pub fn integer(self, range: RangeInclusive<i64>) -> Option<i64> {
        let number = match &self.value {
            Value::Number(number) => Whole::of(number),
            Value::Bool(is_one) => Whole::Exact(i64::from(*is_one)),
            Value::String(text) => match text.trim().parse().map(|number| Whole::of(&number)) {
                Ok(Whole::Not) | Err(_) => {
                    return self.fault(
                        "int_parsing",
                        "Input should be a valid integer, unable to parse string as an integer",
                    );
                }
                Ok(number) => number,
            },
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return self.fault("int_type", "Input should be a valid integer");
            }
        };
        let (min, max) = (*range.start(), *range.end());
        match number {
            Whole::Not => self.fault(
                "int_from_float",
                "Input should be a valid integer, got a number with a fractional part",
            ),
            Whole::Exact(number) if range.contains(&number) => Some(number),
            Whole::Exact(number) if number > max => self.too_large(max),
            Whole::TooLarge => self.too_large(max),
            Whole::Exact(_) | Whole::TooSmall => self.fault(
                "greater_than_equal",
                format!("Input should be greater than or equal to {min}"),
            ),
        }
    }

    fn too_large<T>(&self, max: i64) -> Option<T> {
        self.fault(
            "less_than_equal",
            format!("Input should be less than or equal to {max}"),
        )
    }

    /// A truth value. Like Pydantic, takes 0, 1 and some words for one.
    pub fn boolean(self) -> Option<bool> {
        let word = match &self.value {
            Value::Bool(value) => return Some(*value),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.to_ascii_lowercase(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return self.fault("bool_type", "Input should be a valid boolean");
            }
        };
        match word.as_str() {
            "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
            "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
            _ => self.fault(
                "bool_parsing",
                "Input should be a valid boolean, unable to interpret input",
            ),
        }
    }

    /// A list of a bounded length, each item read in turn; faults of several items are all noted.
    pub fn list<T>(
        self,
        lengths: RangeInclusive<usize>,
        mut read: impl FnMut(Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::Array(items) = self.value else {
            return self.fault("list_type", "Input should be a valid list");
        };
        let (length, min, max) = (items.len(), *lengths.start(), *lengths.end());
        if let Some((kind, message)) = length_fault("List", length, min, max) {
            self.faults.note(self.loc, kind, message);
            return None;
        }
        // Read all before judging, so that every item's fault is noted.
        let read: Vec<Option<T>> = items
            .into_iter()
            .enumerate()
            .map(|(index, item)| {
                let mut loc = self.loc.clone();
                loc.push(Step::Index(index));
                read(Self::new(item, loc, self.faults.clone()))
            })
            .collect();
        read.into_iter().collect()
    }

    /// An object, to be read field by field.
    pub fn object(self) -> Option<Fields> {
        match self.value {
            Value::Object(map) => Some(Fields::from_map(map, self.loc, self.faults)),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => self.fault(
                "model_attributes_type",
                "Input should be a valid dictionary or object to extract fields from",
            ),
        }
    }

    /// An object whose names are not known beforehand, such as headers, with a bounded number of entries; each is read
    /// in turn, and faults of several are all noted.
    pub fn entries<T>(
        self,
        max: usize,
        mut read: impl FnMut(&str, Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::Object(map) = self.value else {
            return self.fault("dict_type", "Input should be a valid dictionary");
        };
        if let Some((kind, message)) = length_fault("Dictionary", map.len(), 0, max) {
            self.faults.note(self.loc, kind, message);
            return None;
        }
        // Read all before judging, so that every entry's fault is noted.
        let read: Vec<Option<T>> = map
            .into_iter()
            .map(|(key, value)| {
                let mut loc = self.loc.clone();
                loc.push(name(&key));
                read(&key, Self::new(value, loc, self.faults.clone()))
            })
            .collect();
        read.into_iter().collect()
    }

    /// The value as it is, for a field that may have several types.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }
}

/// A number as a whole one.
enum Whole {
    Exact(i64),
    TooLarge,
    TooSmall,
    Not,
}

impl Whole {
    fn of(number: &serde_json::Number) -> Self {
        /// Beyond 2^53 not every whole number has a float.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if let Some(number) = number.as_i64() {
            return Self::Exact(number);
        }
        match number.as_f64() {
            Some(float) if float > EXACT => Self::TooLarge,
            Some(float) if float < -EXACT => Self::TooSmall,
            Some(float) if float.fract() == 0.0 => {
                format!("{float:.0}").parse().map_or(Self::Not, Self::Exact)
            }
            Some(_) | None => Self::Not,
        }
    }
}
