use proptest::prelude::*;

use super::*;

fn key(byte: u8) -> SecretKey {
    SecretKey([byte; 32])
}

fn ring(current: u8, previous: &[u8]) -> KeyRing {
    KeyRing::new(key(current), previous.iter().copied().map(key).collect())
}

#[test]
fn keys_are_the_base64_of_32_bytes() {
    assert_eq!(SecretKey::parse(&BASE64.encode([7; 32])), Ok(key(7)));
    assert_eq!(SecretKey::parse("§"), Err(SecretKeyError::NotBase64));
    assert_eq!(SecretKey::parse(""), Err(SecretKeyError::BadLength));
    assert_eq!(
        SecretKey::parse(&BASE64.encode([7; 31])),
        Err(SecretKeyError::BadLength)
    );
}

#[test]
fn previous_keys_open_and_unknown_ones_do_not() {
    let sealed = ring(1, &[]).seal(b"secret", b"owner");
    assert_eq!(
        ring(2, &[3, 1]).open(&sealed, b"owner"),
        Ok(b"secret".to_vec())
    );
    assert_eq!(
        ring(2, &[3]).open(&sealed, b"owner"),
        Err(OpenError::UnknownKey)
    );
}

#[test]
fn what_the_current_key_has_sealed_begins_with_its_header() {
    let ring = ring(2, &[1]);
    let header = ring.current_header();
    assert!(ring.seal(b"secret", b"owner").starts_with(&header));
    let earlier = self::ring(1, &[]).seal(b"secret", b"owner");
    assert!(!earlier.starts_with(&header));
}

#[test]
fn another_context_does_not_open() {
    let sealed = ring(1, &[]).seal(b"secret", b"owner");
    assert_eq!(
        ring(1, &[]).open(&sealed, b"other"),
        Err(OpenError::NotAuthentic)
    );
}

#[test]
fn short_or_foreign_bytes_are_malformed() {
    let ring = ring(1, &[]);
    assert_eq!(ring.open(b"", b""), Err(OpenError::Malformed));
    assert_eq!(ring.open(&[1; 28], b""), Err(OpenError::Malformed));
    let mut sealed = ring.seal(b"secret", b"");
    sealed[0] = 2;
    assert_eq!(ring.open(&sealed, b""), Err(OpenError::Malformed));
}

#[test]
fn token_keys_come_current_first_and_differ_by_purpose() {
    let keys: Vec<_> = ring(1, &[2]).token_keys().collect();
    assert_eq!(
        keys,
        [key(1).derive(TOKEN_LABEL), key(2).derive(TOKEN_LABEL)]
    );
    assert_ne!(keys[0], key(1).derive(SEALING_LABEL));
    assert_ne!(keys[0], [1; 32]);
}

#[test]
fn sealing_twice_gives_different_bytes() {
    let ring = ring(1, &[]);
    assert_ne!(ring.seal(b"secret", b""), ring.seal(b"secret", b""));
}

#[test]
fn debug_shows_no_key() {
    assert_eq!(
        format!("{:?} {:?}", key(1), ring(1, &[2])),
        "[redacted] [redacted]"
    );
}

proptest! {
    #[test]
    fn what_was_sealed_opens(plaintext: Vec<u8>, context: Vec<u8>) {
        let ring = ring(1, &[]);
        prop_assert_eq!(ring.open(&ring.seal(&plaintext, &context), &context), Ok(plaintext));
    }

    #[test]
    fn any_flipped_bit_is_noticed(
        plaintext: Vec<u8>,
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let ring = ring(1, &[]);
        let mut sealed = ring.seal(&plaintext, b"owner");
        let at = at.index(sealed.len());
        sealed[at] ^= 1_u8 << bit;
        prop_assert!(ring.open(&sealed, b"owner").is_err());
    }

    #[test]
    fn hostile_bytes_never_panic(sealed: Vec<u8>) {
        prop_assert!(ring(1, &[2]).open(&sealed, b"").is_err());
    }
}
