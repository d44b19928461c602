//! Reading a receiver's `Retry-After` header (RFC 9110 §10.2.3).

use std::time::Duration;

use time::OffsetDateTime;

/// The longest wait that a receiver may ask for.
///
/// The contract's bound. Without one a hostile or broken receiver could park its deliveries for
/// ever; a much shorter one would call again while a receiver is known to be down for the day.
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// Reads a `Retry-After` value, in seconds or as a date, as a wait from `now`.
///
/// At most [`MAX_RETRY_AFTER`]; a date in the past is no wait. `None` for what is neither, a
/// negative number included: then the retry policy alone decides.
pub fn parse_retry_after(value: &[u8], now: OffsetDateTime) -> Option<Duration> {
    let value = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    let wait = if is_digits(value) {
        // Digits that do not fit say "very long", which is what saturating says too.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let date = OffsetDateTime::from(httpdate::parse_http_date(value).ok()?);
        Duration::try_from(date - now).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

fn is_digits(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-03-01 12:00:00 UTC);

    fn parse(value: &str) -> Option<Duration> {
        parse_retry_after(value.as_bytes(), NOW)
    }

    #[test]
    fn seconds_are_read() {
        assert_eq!(parse("0"), Some(Duration::ZERO));
        assert_eq!(parse(" 120\t"), Some(Duration::from_secs(120)));
        assert_eq!(parse("0000000120"), Some(Duration::from_secs(120)));
        assert_eq!(parse("86401"), Some(MAX_RETRY_AFTER));
        assert_eq!(parse(&"9".repeat(5_000)), Some(MAX_RETRY_AFTER));
    }

    #[test]
    fn all_three_date_formats_are_read() {
        let minute = Some(Duration::from_mins(1));
        assert_eq!(parse("Sun, 01 Mar 2026 12:01:00 GMT"), minute);
        assert_eq!(parse("Sunday, 01-Mar-26 12:01:00 GMT"), minute);
        assert_eq!(parse("Sun Mar  1 12:01:00 2026"), minute);
        assert_eq!(
            parse("Fri, 31 Dec 9999 23:59:59 GMT"),
            Some(MAX_RETRY_AFTER)
        );
    }

    #[test]
    fn a_date_in_the_past_is_no_wait() {
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
    }

    #[test]
    fn nonsense_is_no_hint() {
        for value in [
            "",
            " ",
            "-1",
            "+1",
            "1.5",
            "1e3",
            "0x10",
            "soon",
            "12 s",
            "１２",
            "NaN",
            "Sun, 99 Mar 2026 12:01:00 GMT",
        ] {
            assert_eq!(parse(value), None, "{value:?}");
        }
        assert_eq!(parse_retry_after(b"\xff12", NOW), None);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic_nor_pass_the_bound(value: Vec<u8>, seconds in any::<i32>()) {
            let now = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds.into());
            let wait = parse_retry_after(&value, now);
            prop_assert!(wait.is_none_or(|wait| wait <= MAX_RETRY_AFTER));
        }

        #[test]
        fn near_dates_never_panic(value in "[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT") {
            let _ = parse(&value);
        }

        #[test]
        fn any_date_is_as_good_as_its_distance(offset_s in 0_u64..86_400) {
            let date = SystemTime::from(NOW) + Duration::from_secs(offset_s);
            prop_assert_eq!(
                parse(&httpdate::fmt_http_date(date)),
                Some(Duration::from_secs(offset_s))
            );
        }
    }
}
