//! The keys of Standard Webhooks 1.0: symmetric (`whsec_`) and asymmetric (`whsk_`, with its public half `whpk_`).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{SignatureAlgorithm, SignedMessage, hmac_sha256};

/// What a symmetric secret begins with.
pub(super) const SYMMETRIC_PREFIX: &str = "whsec_";
/// What a private key begins with.
pub(super) const PRIVATE_PREFIX: &str = "whsk_";
/// What a public key begins with.
const PUBLIC_PREFIX: &str = "whpk_";

/// Key length in bytes of a `whsec_` secret: Standard Webhooks' bounds.
const SYMMETRIC_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Key length in bytes of the secrets we make: SHA-256's own, past which HMAC gains nothing.
const GENERATED_BYTES: usize = 32;
/// Length of an Ed25519 seed (RFC 8032 section 5.1.5), in bytes.
const SEED_BYTES: usize = 32;

/// A decoded key.
#[derive(Clone)]
pub(super) enum StandardKey {
    /// Signs as `v1`.
    HmacSha256(Vec<u8>),
    /// Signs as `v1a`.
    Ed25519(Arc<Ed25519KeyPair>),
}

/// Why a text is no key of Standard Webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StandardKeyError {
    /// The prefix is missing, or is that of another algorithm.
    #[error("must begin with '{0}'")]
    MissingPrefix(&'static str),
    /// What follows the prefix is not base64.
    #[error("must be '{0}' followed by standard base64 with padding")]
    NotBase64(&'static str),
    /// The symmetric key is too short or too long.
    #[error("must be the base64 of {} to {} bytes", SYMMETRIC_BYTES.start(), SYMMETRIC_BYTES.end())]
    BadKeyLength,
    /// Neither a seed nor a seed and its public key.
    #[error(
        "must be the base64 of an Ed25519 seed (32 bytes), or of a seed and its public key (64 bytes)"
    )]
    BadKeyPair,
}

impl StandardKey {
    /// Makes the text of a new key.
    pub(super) fn generate(algorithm: SignatureAlgorithm) -> String {
        match algorithm {
            SignatureAlgorithm::HmacSha256 => {
                let key: [u8; GENERATED_BYTES] = rand::random();
                format!("{SYMMETRIC_PREFIX}{}", BASE64.encode(key))
            }
            SignatureAlgorithm::Ed25519 => {
                let seed: [u8; SEED_BYTES] = rand::random();
                let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
                    .expect("32 bytes are an Ed25519 seed");
                // Seed and public key together: what the libraries of Standard Webhooks write.
                let whole = [seed.as_slice(), pair.public_key().as_ref()].concat();
                format!("{PRIVATE_PREFIX}{}", BASE64.encode(whole))
            }
        }
    }

    /// Decodes a text.
    pub(super) fn parse(
        algorithm: SignatureAlgorithm,
        text: &str,
    ) -> Result<Self, StandardKeyError> {
        match algorithm {
            SignatureAlgorithm::HmacSha256 => {
                let key = decode(SYMMETRIC_PREFIX, text)?;
                if !SYMMETRIC_BYTES.contains(&key.len()) {
                    return Err(StandardKeyError::BadKeyLength);
                }
                Ok(Self::HmacSha256(key))
            }
            SignatureAlgorithm::Ed25519 => {
                let key = decode(PRIVATE_PREFIX, text)?;
                let pair = match key.split_at_checked(SEED_BYTES) {
                    Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed),
                    // Refuses halves that do not belong together: signing with them would give the seed away.
                    Some((seed, public)) if public.len() == ED25519_PUBLIC_KEY_LEN => {
                        Ed25519KeyPair::from_seed_and_public_key(seed, public)
                    }
                    Some(_) | None => return Err(StandardKeyError::BadKeyPair),
                };
                let pair = pair.map_err(|_| StandardKeyError::BadKeyPair)?;
                Ok(Self::Ed25519(Arc::new(pair)))
            }
        }
    }

    /// The public half, as its owner hands it to receivers.
    pub(super) fn public_key(&self) -> Option<String> {
        match self {
            Self::HmacSha256(_) => None,
            Self::Ed25519(pair) => {
                let encoded = BASE64.encode(pair.public_key().as_ref());
                Some(format!("{PUBLIC_PREFIX}{encoded}"))
            }
        }
    }

    /// Signs `id.timestamp.body`: the version and the base64 of the signature.
    pub(super) fn sign(&self, message: &SignedMessage<'_>) -> String {
        let timestamp = message.timestamp.to_string();
        let content = [
            message.id.as_bytes(),
            b".",
            timestamp.as_bytes(),
            b".",
            message.body,
        ];
        match self {
            Self::HmacSha256(key) => format!("v1,{}", BASE64.encode(hmac_sha256(key, &content))),
            Self::Ed25519(pair) => {
                format!(
                    "v1a,{}",
                    BASE64.encode(pair.sign(&content.concat()).as_ref())
                )
            }
        }
    }
}

impl fmt::Debug for StandardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn decode(prefix: &'static str, text: &str) -> Result<Vec<u8>, StandardKeyError> {
    let encoded = text
        .strip_prefix(prefix)
        .ok_or(StandardKeyError::MissingPrefix(prefix))?;
    BASE64
        .decode(encoded)
        .map_err(|_| StandardKeyError::NotBase64(prefix))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    use proptest::prelude::*;

    use super::*;

    /// RFC 8032 section 7.1, test 1: seed and public key.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    fn private(bytes: &[u8]) -> String {
        format!("whsk_{}", BASE64.encode(bytes))
    }

    fn parse(bytes: &[u8]) -> Result<StandardKey, StandardKeyError> {
        StandardKey::parse(SignatureAlgorithm::Ed25519, &private(bytes))
    }

    #[test]
    fn public_key_is_the_one_of_the_published_seed() {
        let (seed, public) = (unhex(SEED), unhex(PUBLIC));
        let expected = Some(format!("whpk_{}", BASE64.encode(&public)));
        assert_eq!(parse(&seed).unwrap().public_key(), expected);
        let both = [seed, public].concat();
        assert_eq!(parse(&both).unwrap().public_key(), expected);
    }

    #[test]
    fn halves_that_do_not_belong_together_are_refused() {
        let mut both = [unhex(SEED), unhex(PUBLIC)].concat();
        both[40] ^= 1;
        assert_eq!(parse(&both).unwrap_err(), StandardKeyError::BadKeyPair);
        for length in [0, 31, 33, 63, 65] {
            assert_eq!(
                parse(&vec![7; length]).unwrap_err(),
                StandardKeyError::BadKeyPair
            );
        }
    }

    #[test]
    fn a_secret_of_the_other_algorithm_is_refused_by_its_prefix() {
        let (hmac, ed25519) = (SignatureAlgorithm::HmacSha256, SignatureAlgorithm::Ed25519);
        for (algorithm, other, prefix) in [(hmac, ed25519, "whsec_"), (ed25519, hmac, "whsk_")] {
            let text = StandardKey::generate(other);
            let error = StandardKey::parse(algorithm, &text).unwrap_err();
            assert_eq!(error, StandardKeyError::MissingPrefix(prefix));
            assert!(StandardKey::parse(algorithm, &StandardKey::generate(algorithm)).is_ok());
        }
    }

    proptest! {
        #[test]
        fn an_asymmetric_signature_verifies_over_id_timestamp_and_body_only(
            seed: [u8; 32], id in "[a-z0-9-]{1,40}", timestamp: i64, body: Vec<u8>,
        ) {
            let key = parse(&seed).unwrap();
            let public = key.public_key().unwrap();
            let public = BASE64.decode(public.strip_prefix("whpk_").unwrap()).unwrap();
            let signed = key.sign(&SignedMessage { id: &id, timestamp, body: &body });
            let signature = BASE64.decode(signed.strip_prefix("v1a,").unwrap()).unwrap();
            let mut content = format!("{id}.{timestamp}.").into_bytes();
            content.extend_from_slice(&body);
            let verifier = UnparsedPublicKey::new(&ED25519, public);
            prop_assert!(verifier.verify(&content, &signature).is_ok());
            content.push(b' ');
            prop_assert!(verifier.verify(&content, &signature).is_err());
        }
    }
}
