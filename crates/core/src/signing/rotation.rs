//! Rotation: for a while the secret before the present one still signs, so that receivers can change over.

use time::OffsetDateTime;

use super::{SignatureScheme, SigningSecret, SigningSecretError};

/// An endpoint's secrets: the present one, and the one before it while their overlap lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningSecrets {
    current: SigningSecret,
    previous: Option<PreviousSecret>,
}

/// The secret before the present one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousSecret {
    /// The secret.
    pub secret: SigningSecret,
    /// When it signs no more.
    pub expires_at: OffsetDateTime,
    /// Whether it comes first until then: the schemes with room for one signature sign with the first.
    pub signs_first: bool,
}

/// How long an old secret goes on signing beside the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// When it ends.
    pub ends_at: OffsetDateTime,
    /// Whether the owner asked for one. Then a scheme with room for one signature keeps the old secret until the end;
    /// otherwise it uses the new one at once.
    pub is_asked_for: bool,
}

impl SigningSecrets {
    /// One secret alone.
    #[must_use]
    pub const fn new(current: SigningSecret) -> Self {
        Self {
            current,
            previous: None,
        }
    }

    /// The present secret with the one before it.
    #[must_use]
    pub const fn with_previous(current: SigningSecret, previous: Option<PreviousSecret>) -> Self {
        Self { current, previous }
    }

    /// The present secret.
    #[must_use]
    pub const fn current(&self) -> &SigningSecret {
        &self.current
    }

    /// The secret before it, also when its overlap has ended.
    #[must_use]
    pub const fn previous(&self) -> Option<&PreviousSecret> {
        self.previous.as_ref()
    }

    /// The secrets with a new one, beside which the present one signs until the overlap ends. What was there before the
    /// present one signs no more: a receiver keeps two at most.
    #[must_use]
    pub fn rotate(&self, new: SigningSecret, overlap: Overlap) -> Self {
        Self {
            current: new,
            previous: Some(PreviousSecret {
                secret: self.current.clone(),
                expires_at: overlap.ends_at,
                signs_first: overlap.is_asked_for,
            }),
        }
    }

    /// The same secrets for another scheme; a previous one that it can't sign with is dropped.
    ///
    /// # Errors
    ///
    /// The present one is no secret of that scheme.
    pub fn read_for(&self, scheme: &SignatureScheme) -> Result<Self, SigningSecretError> {
        let current = SigningSecret::parse_for(scheme, self.current.expose())?;
        let previous = self.previous.as_ref().and_then(|previous| {
            Some(PreviousSecret {
                secret: SigningSecret::parse_for(scheme, previous.secret.expose()).ok()?,
                ..previous.clone()
            })
        });
        Ok(Self { current, previous })
    }

    /// What signs at an instant, the preferred one first; see [`sign`](super::sign).
    #[must_use]
    pub fn live(&self, now: OffsetDateTime) -> Vec<&SigningSecret> {
        match &self.previous {
            Some(previous) if now < previous.expires_at => {
                if previous.signs_first {
                    vec![&previous.secret, &self.current]
                } else {
                    vec![&self.current, &previous.secret]
                }
            }
            Some(_) | None => vec![&self.current],
        }
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::signing::{SchemeName, SchemeOptions, SignatureAlgorithm};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn secret() -> SigningSecret {
        SigningSecret::generate_for(&SignatureScheme::default())
    }

    fn overlap(is_asked_for: bool) -> Overlap {
        Overlap {
            ends_at: NOW + Duration::MINUTE,
            is_asked_for,
        }
    }

    #[test]
    fn both_sign_until_the_overlap_ends_and_the_asked_for_order_holds() {
        let (old, new) = (secret(), secret());
        for (is_asked_for, order) in [(false, [&new, &old]), (true, [&old, &new])] {
            let secrets =
                SigningSecrets::new(old.clone()).rotate(new.clone(), overlap(is_asked_for));
            assert_eq!(secrets.live(NOW), order);
            let last = NOW + Duration::MINUTE - Duration::NANOSECOND;
            assert_eq!(secrets.live(last), order);
            assert_eq!(secrets.live(NOW + Duration::MINUTE), [&new]);
        }
    }

    #[test]
    fn the_newest_two_sign() {
        let (first, second, third) = (secret(), secret(), secret());
        let secrets = SigningSecrets::new(first)
            .rotate(second.clone(), overlap(false))
            .rotate(third.clone(), overlap(false));
        assert_eq!(secrets.live(NOW), [&third, &second]);
    }

    #[test]
    fn another_scheme_drops_what_it_cannot_sign_with() {
        let body = SignatureScheme::new(SchemeName::Body, SchemeOptions::default()).unwrap();
        let text = SigningSecret::parse_for(&body, "plain").unwrap();
        let new = secret();
        let secrets = SigningSecrets::new(text).rotate(new.clone(), overlap(true));
        let standard = secrets.read_for(&SignatureScheme::default()).unwrap();
        assert_eq!(standard.live(NOW), [&new]);
        let ed25519 = SignatureScheme::Standard(SignatureAlgorithm::Ed25519);
        assert!(secrets.read_for(&ed25519).is_err());
    }
}
