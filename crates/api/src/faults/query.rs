//! A query string as named parameters.

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use super::shape::Source;
use super::{Faults, Field, name};

/// The parameters of a request. Unknown ones are passed over, as FastAPI does; of repeated ones the last counts.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
    faults: Faults,
}

impl Query {
    /// Reads the text after the `?`.
    #[must_use]
    pub fn parse(text: &str, faults: &Faults) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .collect();
        Self {
            pairs,
            faults: faults.clone(),
        }
    }

    /// Reads a parameter, if it is there.
    pub fn optional<'a, T>(
        &'a self,
        parameter: &str,
        read: impl FnOnce(Field<'a>) -> Option<T>,
    ) -> Option<T> {
        let (_, text) = self.pairs.iter().rev().find(|(key, _)| key == parameter)?;
        let loc = vec![name("query"), name(parameter)];
        read(Field::new(Source::Text(text), loc, self.faults.clone()))
    }
}

impl Field<'_> {
    /// An instant in RFC 3339; a date stands for its beginning, and what names no offset is in UTC. A space where an
    /// unescaped `+` was meant is taken for it.
    pub fn instant(self) -> Option<OffsetDateTime> {
        let field = self.clone();
        let text = self.text()?.replace(' ', "+");
        let parsed = OffsetDateTime::parse(&text, &Rfc3339).or_else(|error| {
            [format!("{text}Z"), format!("{text}T00:00:00Z")]
                .iter()
                .find_map(|text| OffsetDateTime::parse(text, &Rfc3339).ok())
                .ok_or(error)
        });
        match parsed {
            // PostgreSQL's timestamps and RFC 3339's years differ in range; nothing was delivered before 1970.
            Ok(instant)
                if instant
                    .checked_to_offset(UtcOffset::UTC)
                    .is_some_and(|instant| (1970..=9999).contains(&instant.year())) =>
            {
                Some(instant)
            }
            Ok(_) => field.fault(
                "datetime_parsing",
                "Input should be a valid datetime, the year must be 1970 to 9999",
            ),
            Err(error) => field.fault(
                "datetime_parsing",
                format!("Input should be a valid datetime, {error}"),
            ),
        }
    }

    /// A UUID.
    pub fn uuid(self) -> Option<uuid::Uuid> {
        let field = self.clone();
        let text = self.text()?;
        match uuid::Uuid::parse_str(&text) {
            Ok(uuid) => Some(uuid),
            Err(error) => field.fault(
                "uuid_parsing",
                format!("Input should be a valid UUID, {error}"),
            ),
        }
    }
}
