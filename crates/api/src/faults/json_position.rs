//! Where a text stops being JSON, as Python's decoder counts it: in characters, and at the place that it names.
//!
//! FastAPI puts this number into the `loc` of `json_invalid`. `serde_json` counts bytes, and names other places.

use std::iter::Peekable;
use std::str::CharIndices;

/// The position of the first fault of a text that is no JSON; its length in characters if none is found.
pub(super) fn of_fault(text: &str) -> usize {
    let mut reader = Reader {
        text,
        rest: text.char_indices().peekable(),
    };
    let at = reader.document().err().unwrap_or(text.len());
    text[..at].chars().count()
}

/// The byte position of a fault.
type Faulty = Result<(), usize>;

struct Reader<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
}

impl Reader<'_> {
    fn at(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|(_, next)| *next)
    }

    fn skip_space(&mut self) {
        while self
            .rest
            .next_if(|(_, next)| matches!(next, ' ' | '\t' | '\n' | '\r'))
            .is_some()
        {}
    }

    /// Takes this character, or names where it is missing.
    fn expect(&mut self, wanted: char) -> Faulty {
        let at = self.at();
        match self.rest.next_if(|(_, next)| *next == wanted) {
            Some(_) => Ok(()),
            None => Err(at),
        }
    }

    fn document(&mut self) -> Faulty {
        self.skip_space();
        self.value()?;
        self.skip_space();
        match self.rest.peek() {
            None => Ok(()),
            Some((at, _)) => Err(*at),
        }
    }

    fn value(&mut self) -> Faulty {
        match self.peek() {
            Some('{') => self.members('}', |reader| {
                reader.string()?;
                reader.skip_space();
                reader.expect(':')?;
                reader.skip_space();
                reader.value()
            }),
            Some('[') => self.members(']', Self::value),
            Some('"') => self.string(),
            Some('-' | '0'..='9') => self.number(),
            Some(_) | None => self.word(),
        }
    }

    /// An object or an array, from its opening bracket on.
    fn members(&mut self, end: char, member: impl Fn(&mut Self) -> Faulty) -> Faulty {
        self.rest.next();
        self.skip_space();
        if self.expect(end).is_ok() {
            return Ok(());
        }
        loop {
            member(self)?;
            self.skip_space();
            if self.expect(end).is_ok() {
                return Ok(());
            }
            self.expect(',')?;
            self.skip_space();
        }
    }

    fn string(&mut self) -> Faulty {
        let start = self.at();
        self.expect('"')?;
        loop {
            match self.rest.next() {
                // A text that never ends is at fault from its beginning.
                None => return Err(start),
                Some((_, '"')) => return Ok(()),
                Some((at, '\\')) => self.escape(at, start)?,
                Some((at, control)) if control < ' ' => return Err(at),
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, backslash: usize, start: usize) -> Faulty {
        match self.rest.next() {
            None => Err(start),
            Some((_, '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't')) => Ok(()),
            Some((at, 'u')) => {
                for _ in 0..4 {
                    let digit = self.rest.next_if(|(_, next)| next.is_ascii_hexdigit());
                    digit.ok_or(at)?;
                }
                Ok(())
            }
            Some(_) => Err(backslash),
        }
    }

    /// As much of a number as there is; what follows it is the fault of whatever expects something else.
    fn number(&mut self) -> Faulty {
        let start = self.at();
        let rest = &self.text[start..];
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let mut length = usize::from(rest.starts_with('-'));
        let whole = digits(&rest[length..]);
        if whole == 0 {
            return Err(start);
        }
        length += if rest[length..].starts_with('0') {
            1
        } else {
            whole
        };
        if rest[length..].starts_with('.') && digits(&rest[length + 1..]) > 0 {
            length += 1 + digits(&rest[length + 1..]);
        }
        if rest[length..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[length + 1..].starts_with(['+', '-']));
            let exponent = digits(&rest[length + 1 + sign..]);
            if exponent > 0 {
                length += 1 + sign + exponent;
            }
        }
        self.skip(length);
        Ok(())
    }

    fn word(&mut self) -> Faulty {
        let start = self.at();
        let rest = &self.text[start..];
        let word = ["true", "false", "null"]
            .into_iter()
            .find(|word| rest.starts_with(word));
        let word = word.ok_or(start)?;
        self.skip(word.len());
        Ok(())
    }

    /// Passes over ASCII characters.
    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.rest.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Positions that Python 3.11's `json.loads` gives.
    #[test]
    fn faults_are_where_python_finds_them() {
        for (text, position) in [
            ("{", 1),
            ("nonsense", 0),
            ("  ", 2),
            ("{\"url\": }", 8),
            ("[1,]", 3),
            ("{\"a\": 1,\n  oops}", 11),
            ("{\"a\" 1}", 5),
            ("{\"a\": 1 \"b\"}", 8),
            ("\"abc", 0),
            ("[\"ä\", \"x", 6),
            ("[\"ä\", x]", 6),
            ("\"a\\x\"", 2),
            ("\"a\nb\"", 2),
            ("01", 1),
            ("-", 0),
            ("1.", 1),
            ("1e+", 1),
            ("1 2", 2),
            ("truth", 0),
            ("nullify", 4),
        ] {
            assert_eq!(of_fault(text), position, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_fault_is_found_in_whatever_is_no_json_and_in_nothing_else(
            text in "[\\[\\]{}:,\" \\\\u0-9a-e.tfnulrs\u{e4}-]{0,24}",
        ) {
            let is_json = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            let mut reader = Reader { text: &text, rest: text.char_indices().peekable() };
            prop_assert_eq!(reader.document().is_ok(), is_json, "{:?}", text);
        }
    }
}
