//! Encryption at rest of endpoint secrets and custom headers, under the operator's master key.
//!
//! A sealed text is
//!
//! ```text
//! format version (1 byte) · key id (4) · nonce (24) · ciphertext and tag
//! ```
//!
//! sealed by XChaCha20-Poly1305. Version, key id and the caller's context are associated data: a
//! row that was copied to another tenant or endpoint does not open there. The nonce is random; at
//! 192 bits it needs no counter that replicas would have to share.
//!
//! The master key itself encrypts nothing. Each purpose has a key of its own, derived with
//! HMAC-SHA256 and a label (RFC 5869 calls it expand), so that no use can weaken another.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

const FORMAT_VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 4;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES;
const NONCE_BYTES: usize = 24;

// Labels are part of the format: what was sealed or signed under one cannot be read under another.
const KEY_ID_LABEL: &[u8] = b"reprise/key-id/v1";
const SEALING_LABEL: &[u8] = b"reprise/sealing/v1";
const TOKEN_LABEL: &[u8] = b"reprise/token-signing/v1";

/// A master key of the operator: 256 bits.
#[derive(Clone)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// Parses the base64 of 32 bytes, as `openssl rand -base64 32` prints it.
    ///
    /// # Errors
    ///
    /// Says which rule the text breaks, without showing it.
    pub fn parse(text: &str) -> Result<Self, SecretKeyError> {
        let bytes = BASE64.decode(text).map_err(|_| SecretKeyError::NotBase64)?;
        let key = bytes.try_into().map_err(|_| SecretKeyError::BadLength)?;
        Ok(Self(key))
    }

    fn derive(&self, label: &[u8]) -> [u8; 32] {
        let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&self.0)
            .expect("HMAC takes keys of any length");
        mac.chain_update(label).finalize().into_bytes().into()
    }
}

impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretKey {}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why a text is no master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeyError {
    /// The text is not base64.
    #[error("the key must be standard base64 with padding")]
    NotBase64,
    /// The text is base64 of another length.
    #[error("the key must be 32 bytes; make one with 'openssl rand -base64 32'")]
    BadLength,
}

/// The current master key, and earlier ones that still open what they sealed.
#[derive(Clone)]
pub struct KeyRing {
    current: DerivedKeys,
    previous: Vec<DerivedKeys>,
}

impl KeyRing {
    /// Makes a ring; earlier keys only open, the current one also seals.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the ring takes the master keys into custody, so that callers do not keep them"
    )]
    pub fn new(current: SecretKey, previous: Vec<SecretKey>) -> Self {
        Self {
            current: DerivedKeys::of(&current),
            previous: previous.iter().map(DerivedKeys::of).collect(),
        }
    }

    /// Seals a text for one context, such as the ids of the tenant and endpoint it belongs to.
    pub fn seal(&self, plaintext: &[u8], context: &[u8]) -> Vec<u8> {
        let key = &self.current;
        let mut sealed = self.current_header().to_vec();
        let associated_data = [&sealed, context].concat();
        let nonce: [u8; NONCE_BYTES] = rand::random();
        sealed.extend_from_slice(&nonce);
        sealed.extend(key.encrypt(nonce, plaintext, &associated_data));
        sealed
    }

    /// Opens what [`seal`](Self::seal) made under the same context and any key of the ring.
    ///
    /// # Errors
    ///
    /// The bytes are no sealed text, were sealed by a key that is not in the ring, or were changed
    /// or sealed for another context.
    pub fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (header, rest) = sealed
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(OpenError::Malformed)?;
        let (nonce, ciphertext) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(OpenError::Malformed)?;
        let [FORMAT_VERSION, key_id @ ..] = header else {
            return Err(OpenError::Malformed);
        };
        let associated_data = [header, context].concat();
        // Two keys may share an id, once in four billion; then each is tried.
        let mut error = OpenError::UnknownKey;
        for key in self.keys().filter(|key| key.id == *key_id) {
            match key.decrypt(*nonce, ciphertext, &associated_data) {
                Some(plaintext) => return Ok(plaintext),
                None => error = OpenError::NotAuthentic,
            }
        }
        Err(error)
    }

    /// What everything begins with that the current key has sealed, and nothing that an earlier one has (but for one in
    /// four billion, whose id is the same).
    pub const fn current_header(&self) -> [u8; HEADER_BYTES] {
        let [a, b, c, d] = self.current.id;
        [FORMAT_VERSION, a, b, c, d]
    }

    /// The keys that sign tokens, the current one first; tokens of the others are still valid.
    pub fn token_keys(&self) -> impl Iterator<Item = [u8; 32]> {
        self.keys().map(|key| key.token)
    }

    fn keys(&self) -> impl Iterator<Item = &DerivedKeys> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why a sealed text does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short, or of a format that this version does not know.
    #[error("not a sealed text of a known format")]
    Malformed,
    /// Sealed by a master key that the configuration no longer has.
    #[error("sealed by a master key that is not configured")]
    UnknownKey,
    /// Changed since, or sealed for another context.
    #[error("changed since it was sealed, or sealed for another owner")]
    NotAuthentic,
}

/// What is derived from one master key.
#[derive(Clone)]
struct DerivedKeys {
    id: [u8; KEY_ID_BYTES],
    cipher: XChaCha20Poly1305,
    token: [u8; 32],
}

impl DerivedKeys {
    fn of(master: &SecretKey) -> Self {
        let [a, b, c, d, ..] = master.derive(KEY_ID_LABEL);
        Self {
            id: [a, b, c, d],
            cipher: XChaCha20Poly1305::new(&master.derive(SEALING_LABEL).into()),
            token: master.derive(TOKEN_LABEL),
        }
    }

    fn encrypt(&self, nonce: [u8; NONCE_BYTES], plaintext: &[u8], aad: &[u8]) -> Vec<u8> {
        let payload = Payload {
            msg: plaintext,
            aad,
        };
        self.cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("the cipher takes up to 256 GiB, more than a slice in memory holds here")
    }

    fn decrypt(&self, nonce: [u8; NONCE_BYTES], ciphertext: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
        let payload = Payload {
            msg: ciphertext,
            aad,
        };
        self.cipher.decrypt(&XNonce::from(nonce), payload).ok()
    }
}

#[cfg(test)]
mod tests;
