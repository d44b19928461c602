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

/// Why a secret can't be rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotationRefusal {
    /// Both would be the same one.
    #[error("is the endpoint's secret already")]
    SameSecret,
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

    /// The secrets with a new one. Without an overlap it signs alone from now on. With one the present secret goes on
    /// signing until that ends; but in a scheme with room for one signature only if the overlap was asked for, else it
    /// is over at once.
    ///
    /// # Errors
    ///
    /// [`RotationRefusal`].
    pub fn rotate(
        &self,
        scheme: &SignatureScheme,
        new: SigningSecret,
        overlap: Option<Overlap>,
        now: OffsetDateTime,
    ) -> Result<Self, RotationRefusal> {
        if new == self.current {
            return Err(RotationRefusal::SameSecret);
        }
        let Some(overlap) = overlap else {
            return Ok(Self::new(new));
        };
        let old = if scheme.has_room_for_two() {
            &self.current
        } else if overlap.is_asked_for {
            // What signs now, which is the only one that receivers can have seen.
            self.live(now).first().copied().unwrap_or(&self.current)
        } else {
            return Ok(Self::new(new));
        };
        Ok(Self {
            current: new,
            previous: Some(PreviousSecret {
                secret: old.clone(),
                expires_at: overlap.ends_at,
                signs_first: overlap.is_asked_for,
            }),
        })
    }

    /// The secrets for another scheme. An overlap ends there, as with another secret: its receivers have to change in
    /// any case, and what was over in the old scheme must not come back.
    ///
    /// # Errors
    ///
    /// The present one is no secret of the new scheme.
    pub fn change_scheme(
        &self,
        old: &SignatureScheme,
        new: &SignatureScheme,
    ) -> Result<Self, SigningSecretError> {
        if (old.name(), old.algorithm()) == (new.name(), new.algorithm()) {
            return Ok(self.clone());
        }
        SigningSecret::parse_for(new, self.current.expose()).map(Self::new)
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
        let standard = SignatureScheme::default();
        let (old, new) = (secret(), secret());
        for (is_asked_for, order) in [(false, [&new, &old]), (true, [&old, &new])] {
            let overlap = Some(overlap(is_asked_for));
            let secrets = SigningSecrets::new(old.clone());
            let secrets = secrets
                .rotate(&standard, new.clone(), overlap, NOW)
                .unwrap();
            assert_eq!(secrets.live(NOW), order);
            let last = NOW + Duration::MINUTE - Duration::NANOSECOND;
            assert_eq!(secrets.live(last), order);
            assert_eq!(secrets.live(NOW + Duration::MINUTE), [&new]);
        }
    }

    #[test]
    fn a_scheme_with_one_signature_keeps_the_old_secret_only_if_that_was_asked_for() {
        for name in [SchemeName::Timestamped, SchemeName::Body] {
            let scheme = SignatureScheme::new(name, SchemeOptions::default()).unwrap();
            let (old, new) = (secret(), secret());
            let rotate = |is_asked_for| {
                let secrets = SigningSecrets::new(old.clone());
                let overlap = Some(overlap(is_asked_for));
                secrets.rotate(&scheme, new.clone(), overlap, NOW).unwrap()
            };
            assert_eq!(rotate(false), SigningSecrets::new(new.clone()));
            assert_eq!(rotate(true).live(NOW), [&old, &new]);
        }
    }

    #[test]
    fn of_rotations_in_an_overlap_the_latest_two_sign_unless_it_is_ended() {
        let standard = SignatureScheme::default();
        let (first, second, third) = (secret(), secret(), secret());
        let secrets = SigningSecrets::new(first.clone());
        let again = secrets.rotate(&standard, first, None, NOW);
        assert_eq!(again, Err(RotationRefusal::SameSecret));
        let secrets = secrets.rotate(&standard, second.clone(), Some(overlap(false)), NOW);
        let secrets = secrets.unwrap();
        let rotated = secrets.rotate(&standard, third.clone(), Some(overlap(false)), NOW);
        assert_eq!(
            rotated.unwrap().live(NOW),
            [&third, &second],
            "the latest two"
        );
        let ended = secrets.rotate(&standard, third.clone(), None, NOW).unwrap();
        assert_eq!(ended, SigningSecrets::new(third.clone()));
    }

    #[test]
    fn a_scheme_with_one_signature_goes_on_with_what_signs_however_often_an_overlap_is_asked_for() {
        let body = SignatureScheme::new(SchemeName::Body, SchemeOptions::default()).unwrap();
        let (first, second, third) = (secret(), secret(), secret());
        let secrets = SigningSecrets::new(first.clone());
        let secrets = secrets
            .rotate(&body, second, Some(overlap(true)), NOW)
            .unwrap();
        let again = secrets
            .rotate(&body, third.clone(), Some(overlap(true)), NOW)
            .unwrap();
        assert_eq!(again.live(NOW), [&first, &third]);
        let at_once = secrets
            .rotate(&body, third.clone(), Some(overlap(false)), NOW)
            .unwrap();
        assert_eq!(at_once, SigningSecrets::new(third));
    }

    #[test]
    fn another_scheme_ends_the_overlap_and_another_header_does_not() {
        let standard = SignatureScheme::default();
        let scheme = |options| SignatureScheme::new(SchemeName::Body, options).unwrap();
        let body = scheme(SchemeOptions::default());
        let prefixed = scheme(SchemeOptions {
            prefix: Some(crate::signing::SignaturePrefix::parse("v=").unwrap()),
            ..SchemeOptions::default()
        });
        let text = SigningSecret::parse_for(&body, "plain").unwrap();
        let new = secret();
        let secrets = SigningSecrets::new(text);
        let secrets = secrets.rotate(&body, new.clone(), Some(overlap(true)), NOW);
        let secrets = secrets.unwrap();
        assert_eq!(
            secrets.change_scheme(&body, &prefixed).as_ref(),
            Ok(&secrets)
        );
        let changed = secrets.change_scheme(&body, &standard);
        assert_eq!(changed, Ok(SigningSecrets::new(new)));
        let ed25519 = SignatureScheme::Standard(SignatureAlgorithm::Ed25519);
        assert!(secrets.change_scheme(&body, &ed25519).is_err());
    }
}
