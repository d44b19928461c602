//! What the load generator writes into each payload and the sink reads from it: which event it is, and when it was
//! published.

use crate::http1::find;

const KEY: &[u8] = br#""seq":""#;
const SEQUENCE_DIGITS: usize = 10;
const BETWEEN: &[u8] = br#"","at":""#;
const TIME_DIGITS: usize = 20;

/// An event's number and the time at which it was to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Counted from 0, over all loads of a stage.
    pub sequence: u64,
    /// By the bench's clock.
    pub published_ns: u64,
}

impl Stamp {
    /// Reads the stamp of a payload.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let sequence_at = find(payload, KEY)? + KEY.len();
        let time_at = sequence_at + SEQUENCE_DIGITS + BETWEEN.len();
        Some(Self {
            sequence: number(payload.get(sequence_at..sequence_at + SEQUENCE_DIGITS)?)?,
            published_ns: number(payload.get(time_at..time_at + TIME_DIGITS)?)?,
        })
    }

    /// Writes the stamp over that of a payload, which begins at `at`.
    pub fn write(self, bytes: &mut [u8], at: usize) {
        let time_at = at + SEQUENCE_DIGITS + BETWEEN.len();
        write_number(&mut bytes[at..at + SEQUENCE_DIGITS], self.sequence);
        write_number(
            &mut bytes[time_at..time_at + TIME_DIGITS],
            self.published_ns,
        );
    }

    /// The places of all stamps in a request, as [`Stamp::write`] wants them.
    pub fn places(bytes: &[u8]) -> Vec<usize> {
        let mut places = Vec::new();
        let mut from = 0;
        while let Some(at) = find(&bytes[from..], KEY) {
            from += at + KEY.len();
            places.push(from);
        }
        places
    }
}

/// A JSON object with room for a stamp, of some size in bytes.
pub fn payload(bytes: usize) -> String {
    let start = format!(
        r#"{{"seq":"{:0SEQUENCE_DIGITS$}","at":"{:0TIME_DIGITS$}","customer":""#,
        0, 0
    );
    let letters = ('a'..='z').chain('0'..='9').cycle();
    let filler: String = letters
        .take(bytes.saturating_sub(start.len() + 2))
        .collect();
    format!("{start}{filler}\"}}")
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn write_number(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamp_that_was_written_is_read() {
        let mut payload = payload(500).into_bytes();
        assert_eq!(payload.len(), 500);
        let stamp = Stamp {
            sequence: 4_711,
            published_ns: 1_234_567_890_123,
        };
        let places = Stamp::places(&payload);
        assert_eq!(places.len(), 1);
        stamp.write(&mut payload, places[0]);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert!(serde_json::from_slice::<serde_json::Value>(&payload).is_ok());
    }
}
