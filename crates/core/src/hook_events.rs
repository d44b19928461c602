//! The `events` of B's family, as patterns: `subject` (itself and everything below it), `subject:action`, or `*`.

use crate::event_type::{EventPattern, EventTypeError, MAX_BYTES};

/// The patterns that an entry stands for, two for a subject.
///
/// A prefix pattern (`subject.*`) is taken as it is: endpoints that were made in A's family have them.
///
/// # Errors
///
/// Says which rule the text breaks.
pub fn parse(entry: &str) -> Result<Vec<EventPattern>, EventTypeError> {
    let pattern = EventPattern::parse(entry)?;
    let is_subject = !entry.contains([':', '*']);
    if !is_subject || has_nothing_below(entry) {
        return Ok(vec![pattern]);
    }
    let below = EventPattern::parse(&format!("{entry}.*"))?;
    Ok(vec![pattern, below])
}

/// Whether a subject is so long that no type can begin with it and go on.
const fn has_nothing_below(subject: &str) -> bool {
    subject.len() + ".*".len() > MAX_BYTES
}

/// The entries that patterns show as.
///
/// A type that stands for itself alone is written with a colon, as B's family does where it says so: the separators
/// match alike. Only one without any separator can't be told from a subject.
#[must_use]
pub fn show(patterns: &[EventPattern]) -> Vec<String> {
    let has = |text: &str| patterns.iter().any(|pattern| pattern.as_str() == text);
    let mut shown = Vec::with_capacity(patterns.len());
    for text in patterns.iter().map(EventPattern::as_str) {
        let subject = text.strip_suffix(".*").filter(|subject| has(subject));
        if subject.is_some() {
            continue;
        }
        let is_subject = has_nothing_below(text) || has(&format!("{text}.*"));
        if is_subject || text.contains([':', '*']) {
            shown.push(text.to_owned());
        } else {
            shown.push(match text.rsplit_once('.') {
                Some((subject, action)) => format!("{subject}:{action}"),
                None => text.to_owned(),
            });
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_type::EventType;

    fn patterns(entries: &[&str]) -> Vec<EventPattern> {
        entries
            .iter()
            .flat_map(|entry| parse(entry).unwrap())
            .collect()
    }

    fn chosen(entries: &[&str]) -> Vec<&'static str> {
        const TYPES: [&str; 5] = ["form", "form:sent", "form.sent.late", "formal", "other"];
        let patterns = patterns(entries);
        TYPES
            .into_iter()
            .filter(|name| {
                let event_type = EventType::parse(name).unwrap();
                patterns.iter().any(|pattern| pattern.matches(&event_type))
            })
            .collect()
    }

    #[test]
    fn a_subject_stands_for_itself_and_everything_below_it() {
        assert_eq!(chosen(&["form"]), ["form", "form:sent", "form.sent.late"]);
        assert_eq!(chosen(&["form:sent"]), ["form:sent"]);
        assert_eq!(chosen(&["form.sent"]), ["form:sent", "form.sent.late"]);
        assert_eq!(chosen(&["*"]).len(), 5);
        assert_eq!(chosen(&["form.*"]), ["form:sent", "form.sent.late"]);
        for bad in ["", "a b", ":a", "a:", "**"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn entries_read_back_as_they_were_written() {
        let entries = ["form", "form:sent", "*", "a.b", "a:*"];
        assert_eq!(show(&patterns(&entries)), entries);
    }

    #[test]
    fn a_subject_too_long_for_anything_below_it_stands_for_itself() {
        for length in [126, 127, 128] {
            let subject = format!("a.{}", "b".repeat(length - 2));
            let patterns = patterns(&[&subject]);
            assert_eq!(patterns.len(), if length == 126 { 2 } else { 1 });
            assert_eq!(show(&patterns), [subject]);
        }
    }

    #[test]
    fn patterns_of_the_other_family_are_not_widened_by_showing_them() {
        let of_a = ["invoice.paid", "order.*"].map(|text| EventPattern::parse(text).unwrap());
        assert_eq!(show(&of_a), ["invoice:paid", "order.*"]);
        let paid = patterns(&["invoice:paid"]);
        let is_chosen = |name: &str| paid[0].matches(&EventType::parse(name).unwrap());
        assert!(is_chosen("invoice.paid") && !is_chosen("invoice.paid.late"));
    }
}
