//! What a caller may say of an endpoint's signature.

use reprise_core::custom_headers::HeaderName;
use reprise_core::signing::{SignatureScheme, SigningSecret};

use crate::faults::{Faults, Field, name};

/// What a body says of the signature; what it leaves out stays as it is, or is the scheme's default.
#[derive(Clone, Debug, Default)]
pub(super) struct SignatureChoice {
    scheme: Option<String>,
    header: Option<String>,
    prefix: Option<String>,
}

impl SignatureChoice {
    /// What `null` says.
    pub(super) fn standard() -> Self {
        Self {
            scheme: Some(SignatureScheme::Standard.as_str().to_owned()),
            ..Self::default()
        }
    }

    /// Reads the object; its faults are noted.
    pub(super) fn read(field: Field) -> Option<Self> {
        let mut fields = field.object()?;
        let choice = Self {
            scheme: fields.optional("scheme", Field::text),
            header: fields.optional("header", Field::text),
            prefix: fields.optional("prefix", Field::text),
        };
        fields.optional("algorithm", |field| {
            let here = field.clone();
            match field.text()?.as_str() {
                "hmac-sha256" => Some(()),
                "ed25519" => here.value_error("ed25519 signatures are not supported yet"),
                _ => here.value_error("the algorithm must be 'hmac-sha256'"),
            }
        });
        fields.finish();
        Some(choice)
    }

    /// The scheme that it comes to. Header and prefix of the old one are kept with the same scheme only.
    pub(super) fn resolve(
        &self,
        old: &SignatureScheme,
        faults: &Faults,
    ) -> Option<SignatureScheme> {
        let scheme = self.scheme.as_deref().unwrap_or_else(|| old.as_str());
        let kept = Some(old).filter(|old| old.as_str() == scheme);
        let kept_header = || {
            kept.and_then(SignatureScheme::header)
                .map(HeaderName::as_str)
        };
        let kept_prefix = || {
            kept.and_then(SignatureScheme::prefix)
                .map(|prefix| prefix.as_str())
        };
        let header = self.header.as_deref().or_else(kept_header);
        let prefix = self.prefix.as_deref().or_else(kept_prefix);
        SignatureScheme::parse(scheme, header, prefix)
            .map_err(|error| {
                let loc = vec![name("body"), name("signature")];
                faults.note(loc, "value_error", format!("Value error, {error}"));
            })
            .ok()
    }
}

/// The secret for a scheme; none where the scheme itself is at fault.
pub(super) fn check_secret(
    signature: Option<&SignatureScheme>,
    text: &str,
    faults: &Faults,
) -> Option<SigningSecret> {
    SigningSecret::parse_for(signature?, text)
        .map_err(|error| {
            let loc = vec![name("body"), name("secret")];
            faults.note(loc, "value_error", format!("Value error, {error}"));
        })
        .ok()
}
