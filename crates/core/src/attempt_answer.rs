//! What whoever waits for an attempt wants to know, short enough to be told with the news that it was recorded.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::attempt::Attempt;
use crate::ids::AttemptId;

/// What the receiver answered, and how long that took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptAnswer {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The status of a whole answer; `None` where there was none.
    pub status: Option<u16>,
    /// Until the receiver had answered or could not be reached, in milliseconds; `None` when a dispatcher died over it.
    pub duration_ms: Option<u64>,
}

impl From<&Attempt> for AttemptAnswer {
    fn from(attempt: &Attempt) -> Self {
        Self {
            attempt_id: attempt.id,
            status: attempt.answered_status(),
            duration_ms: attempt.duration_ms(),
        }
    }
}

/// Stands for `None`.
const NONE: &str = "-";

impl fmt::Display for AttemptAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |number: Option<u64>| number.map_or_else(|| NONE.to_owned(), |n| n.to_string());
        let status = word(self.status.map(u64::from));
        write!(f, "{} {status} {}", self.attempt_id, word(self.duration_ms))
    }
}

/// The text is no answer, or one of another version of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected an attempt's id, status and milliseconds")]
pub struct AttemptAnswerError;

fn read<T: FromStr>(word: &str) -> Result<Option<T>, AttemptAnswerError> {
    if word == NONE {
        return Ok(None);
    }
    word.parse().map(Some).map_err(|_| AttemptAnswerError)
}

impl FromStr for AttemptAnswer {
    type Err = AttemptAnswerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split(' ').collect();
        let [id, status, duration_ms] = words[..] else {
            return Err(AttemptAnswerError);
        };
        Ok(Self {
            attempt_id: id.parse().map_err(|_| AttemptAnswerError)?,
            status: read(status)?,
            duration_ms: read(duration_ms)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_back_as_it_was_written() {
        for (status, duration_ms) in [(Some(200), Some(35)), (None, Some(1)), (None, None)] {
            let answer = AttemptAnswer {
                attempt_id: AttemptId::new(),
                status,
                duration_ms,
            };
            assert_eq!(answer.to_string().parse(), Ok(answer));
        }
        let id = AttemptId::new();
        for bad in [
            "",
            "x 200 1",
            &id.to_string(),
            &format!("{id} 200"),
            &format!("{id} 70000 1"),
            &format!("{id} 200 1 1"),
        ] {
            assert_eq!(
                bad.parse::<AttemptAnswer>(),
                Err(AttemptAnswerError),
                "{bad}"
            );
        }
    }
}
