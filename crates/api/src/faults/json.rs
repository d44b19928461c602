//! A body as JSON: whether it is any, and not nested too deeply.

use serde_json::value::RawValue;

use super::{Faults, Step, json_position, name};

/// Deepest nesting of arrays and objects in an object of a body.
pub(super) const MAX_DEPTH: usize = 128;

/// A body as JSON text.
///
/// # Errors
///
/// One fault when it is no JSON, or nested too deeply.
pub(super) fn parse(body: &[u8], max_depth: usize) -> Result<&RawValue, Faults> {
    let loc = vec![name("body")];
    if body.is_empty() {
        return Err(Faults::one(loc, "missing", "Field required"));
    }
    if depth(body) > max_depth {
        let message = format!("Value error, JSON is nested deeper than {MAX_DEPTH} levels");
        return Err(Faults::one(loc, "value_error", message));
    }
    serde_json::from_slice(body).map_err(|_| not_json(body))
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
fn depth(text: &[u8]) -> usize {
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
    use super::*;

    #[test]
    fn brackets_in_texts_are_no_depth() {
        assert_eq!(depth(br#"{"a": "[[[\"[[", "b": [1, {"c": 2}]}"#), 3);
        assert_eq!(depth(b"1"), 0);
    }
}
