//! Reading settings: each text becomes its type, and every mistake is reported at once, by the variable's name.
//!
//! The programs name their variables in their own `config.rs`; this module knows how the kinds of values are written.
//! No message repeats the value of a secret.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

use crate::sealing::{KeyRing, SecretKey, SecretKeyError};
use crate::secret::SecretText;

/// The mistakes found so far.
#[derive(Debug, Default, Error)]
pub struct Problems {
    list: Vec<Problem>,
}

#[derive(Debug)]
struct Problem {
    variable: &'static str,
    message: String,
}

impl Problems {
    /// Parses the text of a variable; a mistake is noted, and `None` stands for the value until
    /// [`finish`](Self::finish).
    pub fn read<T, E: fmt::Display>(
        &mut self,
        variable: &'static str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        parse(text.trim())
            .map_err(|error| self.add(variable, error))
            .ok()
    }

    /// Parses the text of a variable that must be set and not be empty.
    pub fn read_required<T, E: fmt::Display>(
        &mut self,
        variable: &'static str,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match text.map(str::trim) {
            None | Some("") => {
                self.add(variable, "must be set");
                None
            }
            Some(text) => self.read(variable, text, parse),
        }
    }

    /// Notes a mistake.
    pub fn add(&mut self, variable: &'static str, message: impl fmt::Display) {
        self.list.push(Problem {
            variable,
            message: message.to_string(),
        });
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// All mistakes, when there was one.
    pub fn finish(self) -> Result<(), Self> {
        if self.list.is_empty() {
            Ok(())
        } else {
            Err(self)
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is wrong:")?;
        for Problem { variable, message } in &self.list {
            write!(f, "\n  {variable}: {message}")?;
        }
        Ok(())
    }
}

/// Why a text is no setting of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingError {
    /// Neither `true` nor `false`.
    #[error("must be 'true' or 'false'")]
    Boolean,
    /// Not a whole number in its range.
    #[error("must be a whole number from {0} to {1}")]
    Number(u64, u64),
    /// Not a list of networks.
    #[error(
        "'{0}' is no network; write it like 10.0.0.0/8 or fd00::/8, several separated by commas"
    )]
    Network(String),
    /// Not a URL of PostgreSQL. The text is left out: it may hold a password.
    #[error("must be a URL like postgres://user:password@host:5432/database")]
    DatabaseUrl,
    /// One of several keys; counted from 1.
    #[error("key {place} of the list: {error}")]
    Key {
        /// Which of them.
        place: usize,
        /// What is wrong with it.
        error: SecretKeyError,
    },
}

/// Reads `true` or `false`.
///
/// # Errors
///
/// [`SettingError::Boolean`].
pub fn parse_bool(text: &str) -> Result<bool, SettingError> {
    text.parse().map_err(|_| SettingError::Boolean)
}

/// Reads a whole number within a range, as the type that it is used as.
///
/// # Errors
///
/// [`SettingError::Number`].
pub fn parse_number<T>(text: &str, range: RangeInclusive<T>) -> Result<T, SettingError>
where
    T: FromStr + PartialOrd + Copy + Into<u64>,
{
    text.parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| SettingError::Number((*range.start()).into(), (*range.end()).into()))
}

/// Reads networks or single addresses, separated by commas; an empty text is none.
///
/// # Errors
///
/// [`SettingError::Network`].
pub fn parse_networks(text: &str) -> Result<Vec<IpNet>, SettingError> {
    list(text)
        .map(|item| {
            let network = item.parse::<IpNet>().ok();
            network
                .or_else(|| item.parse::<IpAddr>().map(IpNet::from).ok())
                .ok_or_else(|| SettingError::Network(item.to_owned()))
        })
        .collect()
}

/// Checks a URL of PostgreSQL, so that a mistake in it ends the program at its start instead of looking like an
/// outage for ever.
///
/// # Errors
///
/// [`SettingError::DatabaseUrl`].
pub fn parse_database_url(text: &str) -> Result<SecretText, SettingError> {
    text.parse::<tokio_postgres::Config>()
        .ok()
        .filter(|config| !config.get_hosts().is_empty())
        .map(|_| SecretText::new(text))
        .ok_or(SettingError::DatabaseUrl)
}

/// Reads earlier master keys, separated by commas; an empty text is none.
///
/// # Errors
///
/// [`SettingError::Key`].
pub fn parse_previous_keys(text: &str) -> Result<Vec<SecretKey>, SettingError> {
    list(text)
        .zip(1..)
        .map(|(item, place)| {
            SecretKey::parse(item).map_err(|error| SettingError::Key { place, error })
        })
        .collect()
}

/// Reads the two variables of the master keys: `REPRISE_SECRET_KEY` and `REPRISE_SECRET_KEY_PREVIOUS`.
pub fn read_key_ring(
    problems: &mut Problems,
    current: Option<&str>,
    previous: &str,
) -> Option<KeyRing> {
    let current = problems.read_required("REPRISE_SECRET_KEY", current, SecretKey::parse);
    let previous = problems.read("REPRISE_SECRET_KEY_PREVIOUS", previous, parse_previous_keys);
    Some(KeyRing::new(current?, previous?))
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGVzdC1vbmx5LXNlY3JldC1rZXktb2YtMzItYnl0ZXM=";

    #[test]
    fn all_mistakes_are_reported_by_name_and_no_secret_is_shown() {
        let mut problems = Problems::default();
        assert!(read_key_ring(&mut problems, Some("hunter2"), "hunter3").is_none());
        let url = problems.read_required("DATABASE_URL", None, parse_database_url);
        let timely = problems.read("REPRISE_ALLOW_HTTP", "yes", parse_bool);
        assert!(url.is_none() && timely.is_none());
        let report = problems.finish().expect_err("four mistakes").to_string();
        for variable in [
            "REPRISE_SECRET_KEY:",
            "REPRISE_SECRET_KEY_PREVIOUS: key 1",
            "DATABASE_URL: must be set",
            "REPRISE_ALLOW_HTTP: must be",
        ] {
            assert!(report.contains(variable), "{variable} in {report}");
        }
        assert!(!report.contains("hunter"), "{report}");
    }

    #[test]
    fn what_is_right_is_read() {
        let mut problems = Problems::default();
        assert!(read_key_ring(&mut problems, Some(KEY), &format!("{KEY}, {KEY},")).is_some());
        assert_eq!(problems.read("X", " true ", parse_bool), Some(true));
        assert!(problems.finish().is_ok());
        assert_eq!(parse_number("7", 1..=9_u32), Ok(7));
        assert_eq!(
            parse_networks("10.0.0.0/8, ::1").map(|networks| networks.len()),
            Ok(2)
        );
        assert_eq!(parse_networks(""), Ok(Vec::new()));
        assert!(parse_database_url("postgres://a:b@one:5432,two:5433/reprise").is_ok());
    }

    #[test]
    fn what_is_out_of_range_or_malformed_is_refused() {
        assert_eq!(
            parse_number("0", 1..=9_u32),
            Err(SettingError::Number(1, 9))
        );
        assert_eq!(
            parse_number("ten", 1..=9_u32),
            Err(SettingError::Number(1, 9))
        );
        assert_eq!(
            parse_networks("10.0.0.0/33"),
            Err(SettingError::Network("10.0.0.0/33".to_owned()))
        );
        for url in ["reprise", "mysql://host/x", "postgres://host:port/x"] {
            assert_eq!(
                parse_database_url(url),
                Err(SettingError::DatabaseUrl),
                "{url}"
            );
        }
    }
}
