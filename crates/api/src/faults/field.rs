//! One value of a body: read as what it should be, or noted as a fault.

use std::ops::RangeInclusive;

use serde_json::value::RawValue;

use super::shape::{Shape, Source};
use super::whole::Whole;
use super::{Faults, Fields, Step, name};

/// A value and the way to it.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    source: Source<'a>,
    loc: Vec<Step>,
    faults: Faults,
}

impl<'a> Field<'a> {
    pub(super) const fn new(source: Source<'a>, loc: Vec<Step>, faults: Faults) -> Self {
        Self {
            source,
            loc,
            faults,
        }
    }

    /// A part of it.
    fn part(&self, step: Step, raw: &'a RawValue) -> Self {
        let mut loc = self.loc.clone();
        loc.push(step);
        Self::new(Source::Json(raw), loc, self.faults.clone())
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
        self.source.is_null()
    }

    /// Whether it is a text, for a field that may be something else too.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self.source.shape(), Shape::Text(_))
    }

    /// A text without a bound of its own.
    pub fn text(self) -> Option<String> {
        match self.source.shape() {
            Shape::Text(Some(text)) => Some(text.into_owned()),
            Shape::Text(None) => self.not_unicode(),
            Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::List(_) | Shape::Object(_) => {
                self.fault("string_type", "Input should be a valid string")
            }
        }
    }

    fn not_unicode<T>(&self) -> Option<T> {
        self.fault(
            "string_unicode",
            "Input should be a valid string, unable to parse raw data as a unicode string",
        )
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
        let found = match self.source.shape() {
            Shape::Text(Some(text)) => all.iter().find(|one| one.to_string() == text),
            Shape::Null
            | Shape::Bool(_)
            | Shape::Number(_)
            | Shape::Text(None)
            | Shape::List(_)
            | Shape::Object(_) => None,
        };
        found.copied().or_else(|| {
            let words: Vec<String> = all.iter().map(|one| format!("'{one}'")).collect();
            let (last, others) = words.split_last()?;
            let message = format!("Input should be {} or {last}", others.join(", "));
            self.fault("enum", message)
        })
    }

    /// A whole number. Like Pydantic, takes `5.0`, `"5"` and `"5.0"` for 5, and `true` for 1.
    pub fn integer(self, range: RangeInclusive<i64>) -> Option<i64> {
        let (min, max) = (*range.start(), *range.end());
        match self.whole()? {
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

    /// What stands for a number.
    fn whole(&self) -> Option<Whole> {
        match self.source.shape() {
            Shape::Number(Some(number)) => Some(Whole::of(&number)),
            Shape::Number(None) => self.fault("finite_number", "Input should be a finite number"),
            Shape::Bool(is_one) => Some(Whole::Exact(i64::from(is_one))),
            Shape::Text(None) => self.not_unicode(),
            Shape::Text(Some(text)) => match text.trim().parse().map(|number| Whole::of(&number)) {
                Ok(Whole::Not) | Err(_) => self.fault(
                    "int_parsing",
                    "Input should be a valid integer, unable to parse string as an integer",
                ),
                Ok(number) => Some(number),
            },
            Shape::Null | Shape::List(_) | Shape::Object(_) => {
                self.fault("int_type", "Input should be a valid integer")
            }
        }
    }

    fn too_large<T>(&self, max: i64) -> Option<T> {
        self.fault(
            "less_than_equal",
            format!("Input should be less than or equal to {max}"),
        )
    }

    fn no_boolean<T>(&self) -> Option<T> {
        self.fault("bool_type", "Input should be a valid boolean")
    }

    /// A truth value. Like Pydantic, takes 0, 1 and some words for one.
    pub fn boolean(self) -> Option<bool> {
        let word = match self.source.shape() {
            Shape::Bool(value) => return Some(value),
            Shape::Number(number) => match number.map_or(Whole::Not, |number| Whole::of(&number)) {
                Whole::Exact(number) => number.to_string(),
                Whole::TooLarge | Whole::TooSmall | Whole::Not => return self.no_boolean(),
            },
            Shape::Text(Some(text)) => text.to_ascii_lowercase(),
            Shape::Text(None) => return self.not_unicode(),
            Shape::Null | Shape::List(_) | Shape::Object(_) => return self.no_boolean(),
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

    /// The items of a list of a bounded length.
    pub(super) fn items(&self, lengths: RangeInclusive<usize>) -> Option<Vec<&'a RawValue>> {
        let Shape::List(items) = self.source.shape() else {
            return self.fault("list_type", "Input should be a valid list");
        };
        let length = items.len();
        let (kind, bound, limit) = if length < *lengths.start() {
            ("too_short", "least", *lengths.start())
        } else if length > *lengths.end() {
            ("too_long", "most", *lengths.end())
        } else {
            return Some(items);
        };
        let noun = if limit == 1 { "item" } else { "items" };
        let message =
            format!("List should have at {bound} {limit} {noun} after validation, not {length}");
        self.fault(kind, message)
    }

    /// A list of a bounded length, each item read in turn; faults of several items are all noted.
    pub fn list<T>(
        self,
        lengths: RangeInclusive<usize>,
        mut read: impl FnMut(Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        // Read all before judging, so that every item's fault is noted.
        let read: Vec<Option<T>> = self
            .items(lengths)?
            .into_iter()
            .enumerate()
            .map(|(index, item)| read(self.part(Step::Index(index), item)))
            .collect();
        read.into_iter().collect()
    }

    /// An object, to be read field by field.
    pub fn object(self) -> Option<Fields<'a>> {
        match self.source.shape() {
            Shape::Object(Some(members)) => Some(Fields::new(members, self.loc, self.faults)),
            Shape::Object(None) => self.not_unicode(),
            Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) | Shape::List(_) => {
                self.fault(
                    "model_attributes_type",
                    "Input should be a valid dictionary or object to extract fields from",
                )
            }
        }
    }

    /// An object whose names are not known beforehand, such as headers, with a bounded number of entries; each is read
    /// in turn, and faults of several are all noted.
    pub fn entries<T>(
        self,
        max: usize,
        mut read: impl FnMut(&str, Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let members = match self.source.shape() {
            Shape::Object(Some(members)) => members,
            Shape::Object(None) => return self.not_unicode(),
            Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) | Shape::List(_) => {
                return self.fault("dict_type", "Input should be a valid dictionary");
            }
        };
        if members.len() > max {
            // Pydantic counts no further.
            let message =
                format!("Dictionary should have at most {max} items after validation, not more");
            return self.fault("too_long", message);
        }
        // Read all before judging, so that every entry's fault is noted.
        let read: Vec<Option<T>> = members
            .iter()
            .map(|(key, value)| read(key, self.part(name(key), value)))
            .collect();
        read.into_iter().collect()
    }
}
