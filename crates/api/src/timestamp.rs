//! Instants as the API writes them: RFC 3339 in UTC, always with the same number of digits.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

const MICROSECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
const MILLISECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// An instant to the microsecond, as PostgreSQL keeps it and A's family shows it.
#[derive(Clone, Copy, Debug)]
pub struct Timestamp(pub OffsetDateTime);

/// An instant to the millisecond, as B's example shows it.
#[derive(Clone, Copy, Debug)]
pub struct MillisecondTimestamp(pub OffsetDateTime);

fn write<S: Serializer>(
    instant: OffsetDateTime,
    format: &[BorrowedFormatItem<'_>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let text = instant
        .to_offset(UtcOffset::UTC)
        .format(format)
        .map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(&text)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(self.0, MICROSECONDS, serializer)
    }
}

impl Serialize for MillisecondTimestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(self.0, MILLISECONDS, serializer)
    }
}

impl<'de> Deserialize<'de> for MillisecondTimestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        time::serde::rfc3339::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn instants_are_written_in_utc_with_all_their_digits() {
        let instant = datetime!(2020-09-30 23:18:03.353 +2);
        assert_eq!(
            serde_json::to_value(Timestamp(instant)).unwrap(),
            "2020-09-30T21:18:03.353000Z"
        );
        assert_eq!(
            serde_json::to_value(MillisecondTimestamp(instant)).unwrap(),
            "2020-09-30T21:18:03.353Z"
        );
    }
}
