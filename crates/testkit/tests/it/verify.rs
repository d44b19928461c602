//! The verifier against the published vector of Standard Webhooks.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

use reprise_testkit::{
    receiver::Received,
    verify::{verify_plain, verify_standard},
};
use time::{Duration, OffsetDateTime};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TIMESTAMP: i64 = 1_614_265_330;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

/// The published vector, received some time after it was sent, with these signatures.
fn vector(signatures: &str, age: Duration) -> Received {
    let sent_at = OffsetDateTime::from_unix_timestamp(TIMESTAMP).expect("a valid timestamp");
    let headers = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", signatures),
    ];
    Received {
        at: Instant::now(),
        received_at: sent_at + age,
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        method: "POST".to_owned(),
        path: "/".to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        body: r#"{"test": 2432232314}"#.into(),
    }
}

#[test]
fn published_vector_is_accepted() {
    assert_eq!(
        verify_standard(SECRET, &vector(SIGNATURE, Duration::SECOND)),
        Ok(())
    );
}

#[test]
fn one_matching_signature_of_several_is_enough() {
    let signatures = format!("v1a,bm90aGluZw== v1,bm90aGluZw== {SIGNATURE}");
    assert_eq!(
        verify_standard(SECRET, &vector(&signatures, Duration::SECOND)),
        Ok(())
    );
}

#[test]
fn changed_byte_is_refused() {
    let mut received = vector(SIGNATURE, Duration::SECOND);
    received.body = r#"{"test": 2432232315}"#.into();
    assert!(verify_standard(SECRET, &received).is_err());
}

#[test]
fn other_version_or_other_secret_is_refused() {
    let other_version = SIGNATURE.replace("v1,", "v2,");
    assert!(verify_standard(SECRET, &vector(&other_version, Duration::SECOND)).is_err());
    let other_secret = SECRET.replace("Mf", "Mg");
    assert!(verify_standard(&other_secret, &vector(SIGNATURE, Duration::SECOND)).is_err());
}

#[test]
fn old_or_future_timestamp_is_refused() {
    for age in [Duration::minutes(6), Duration::minutes(-6)] {
        assert!(verify_standard(SECRET, &vector(SIGNATURE, age)).is_err());
    }
}

/// Expected values made with `openssl dgst -sha256 -hmac abc123`.
#[test]
fn plain_signatures_agree_with_openssl() {
    let body = "sha256=92b41da613c69e45a914b1251afbffc23d9834d74709756b34e2f05045088a9c";
    let timestamped =
        "t=1614265330,v1=ad7eb84528900a442051376b9ed5cb33891bb64943aaa61bd766b1d812f55d18";
    for signature in [body, timestamped] {
        let received = vector(signature, Duration::SECOND);
        assert_eq!(
            verify_plain("abc123", &received, "webhook-signature"),
            Ok(())
        );
        assert!(verify_plain("abc124", &received, "webhook-signature").is_err());
    }
    let late = vector(timestamped, Duration::hours(1));
    assert!(verify_plain("abc123", &late, "webhook-signature").is_err());
}
