use proptest::prelude::*;

use super::*;

fn matches(pattern: &str, event_type: &str) -> bool {
    EventPattern::parse(pattern)
        .expect("a test pattern parses")
        .matches(&EventType::parse(event_type).expect("a test type parses"))
}

#[test]
fn event_types_of_both_families_are_accepted() {
    for text in [
        "a",
        "invoice.paid",
        "application_form:inactive",
        "a.b:c-d.E9",
    ] {
        assert_eq!(
            EventType::parse(text).map(|parsed| parsed.to_string()),
            Ok(text.to_owned())
        );
    }
    assert!(EventType::parse(&"x".repeat(MAX_BYTES)).is_ok());
}

#[test]
fn event_types_outside_the_grammar_are_refused() {
    use EventTypeError::{Empty, EmptySegment, ForbiddenCharacter, TooLong};
    for (text, error) in [
        ("", Empty),
        (".", EmptySegment),
        ("a.", EmptySegment),
        (":a", EmptySegment),
        ("a.:b", EmptySegment),
        ("a b", ForbiddenCharacter),
        ("a.*", ForbiddenCharacter),
        ("é", ForbiddenCharacter),
        ("a\0", ForbiddenCharacter),
    ] {
        assert_eq!(EventType::parse(text), Err(error), "{text:?}");
    }
    assert_eq!(EventType::parse(&"x".repeat(MAX_BYTES + 1)), Err(TooLong));
}

#[test]
fn patterns_match_as_the_contract_says() {
    assert!(matches("*", "anything.at:all"));
    assert!(matches("invoice.paid", "invoice:paid"));
    assert!(matches("invoice.*", "invoice.paid"));
    assert!(matches("invoice:*", "invoice.paid.late"));
    assert!(matches("a.b.*", "a:b:c"));
    assert!(!matches("invoice.*", "invoice"));
    assert!(!matches("invoice.*", "invoices.paid"));
    assert!(!matches("invoice.paid", "invoice.paid.late"));
    assert!(!matches("invoice.paid", "Invoice.paid"));
}

#[test]
fn star_stands_only_alone_or_last() {
    for text in ["*.a", "a*", "a.*.b", "a.**", ".*", "**", "a..*", ""] {
        assert!(EventPattern::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn groups_are_short_texts_without_control_characters() {
    assert!(EventGroup::parse("Kunde Nº 7 / Köln").is_ok());
    assert_eq!(EventGroup::parse(""), Err(EventTypeError::Empty));
    assert_eq!(
        EventGroup::parse("a\nb"),
        Err(EventTypeError::ControlCharacter)
    );
    assert_eq!(
        EventGroup::parse(&"é".repeat(65)),
        Err(EventTypeError::TooLong)
    );
}

proptest! {
    #[test]
    fn parsing_never_panics(text: String) {
        let _ = (EventType::parse(&text), EventPattern::parse(&text), EventGroup::parse(&text));
    }

    #[test]
    fn a_type_is_matched_by_itself_and_by_each_of_its_prefixes(
        text in "[a-z0-9_-]{1,6}([.:][a-z0-9_-]{1,6}){0,4}",
    ) {
        prop_assert!(matches(&text, &text));
        prop_assert!(matches(&text.replace('.', ":"), &text));
        for (at, _) in text.match_indices(['.', ':']) {
            let above = format!("{}.*", &text[..at]);
            prop_assert!(matches(&above, &text));
        }
        let below = format!("{text}.*");
        prop_assert!(!matches(&below, &text));
    }
}
