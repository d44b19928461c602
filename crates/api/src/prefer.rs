//! `Prefer: wait=N` (RFC 7240 section 4.3): how long the caller would wait for the receiver's answer.

use std::time::Duration;

use actix_web::HttpRequest;

/// Longest wait, in seconds: what proxies on the way commonly allow.
pub const MAX_WAIT_SECONDS: u64 = 30;

/// The wait that a request prefers, capped. A malformed preference is passed over, as RFC 7240 section 2 asks.
#[must_use]
pub fn wait(request: &HttpRequest) -> Option<Duration> {
    request
        .headers()
        .get_all("prefer")
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        // What follows a semicolon are parameters of the preference, and `wait` has none.
        .filter_map(|preference| preference.split(';').next())
        .find_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            if !name.trim().eq_ignore_ascii_case("wait") {
                return None;
            }
            let digits = value.trim().trim_matches('"');
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            // More digits than fit are more seconds than are waited.
            let seconds = digits.parse().unwrap_or(MAX_WAIT_SECONDS);
            is_number.then(|| Duration::from_secs(seconds.min(MAX_WAIT_SECONDS)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_wait_is_found_among_other_preferences_and_capped() {
        let read = |value: &str| {
            wait(
                &TestRequest::default()
                    .insert_header(("Prefer", value))
                    .to_http_request(),
            )
        };
        assert_eq!(
            read("respond-async, wait=10"),
            Some(Duration::from_secs(10))
        );
        assert_eq!(read("Wait = \"7\""), Some(Duration::from_secs(7)));
        assert_eq!(
            read("wait=99999"),
            Some(Duration::from_secs(MAX_WAIT_SECONDS))
        );
        assert_eq!(
            read("wait=99999999999999999999999"),
            Some(Duration::from_secs(MAX_WAIT_SECONDS))
        );
        assert_eq!(read("foo;wait=2, wait=3"), Some(Duration::from_secs(3)));
        assert_eq!(read("wait=-1"), None);
        assert_eq!(read("wait"), None);
    }
}
