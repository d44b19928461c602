//! What a caller may say of an endpoint's signature.

use reprise_core::signing::{
    SchemeOptions, SignatureAlgorithm, SignatureScheme, SigningSecret, SigningSecretError,
    SigningSecrets,
};

use crate::faults::{Faults, Field, name};

/// What a body says of the signature; what it leaves out stays as it is, or is the scheme's default.
#[derive(Clone, Debug, Default)]
pub(super) struct SignatureChoice {
    scheme: Option<String>,
    header: Option<String>,
    prefix: Option<String>,
    algorithm: Option<SignatureAlgorithm>,
}

impl SignatureChoice {
    /// What `null` says.
    pub(super) fn standard() -> Self {
        Self {
            scheme: Some(SignatureScheme::default().as_str().to_owned()),
            algorithm: Some(SignatureAlgorithm::default()),
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
            algorithm: fields.optional("algorithm", |field| field.parse(SignatureAlgorithm::parse)),
        };
        fields.finish();
        Some(choice)
    }

    /// The scheme that it comes to. Header, prefix and algorithm of the old one are kept with the same scheme
    /// only.
    pub(super) fn resolve(
        &self,
        old: &SignatureScheme,
        faults: &Faults,
    ) -> Option<SignatureScheme> {
        let scheme = self.scheme.as_deref().unwrap_or_else(|| old.as_str());
        let kept = Some(old).filter(|old| old.as_str() == scheme);
        let options = SchemeOptions {
            header: self
                .header
                .as_deref()
                .or_else(|| Some(kept?.header()?.as_str())),
            prefix: self
                .prefix
                .as_deref()
                .or_else(|| Some(kept?.prefix()?.as_str())),
            algorithm: self
                .algorithm
                .or_else(|| kept.map(SignatureScheme::algorithm)),
        };
        SignatureScheme::parse(scheme, options)
            .map_err(|error| {
                let loc = vec![name("body"), name("signature"), name(error.part())];
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
    noted(SigningSecret::parse_for(signature?, text), faults)
}

/// The secrets that an endpoint has, for the scheme that it gets.
pub(super) fn keep_secrets(
    signature: Option<&SignatureScheme>,
    secrets: &SigningSecrets,
    faults: &Faults,
) -> Option<SigningSecrets> {
    noted(secrets.read_for(signature?), faults)
}

fn noted<T>(parsed: Result<T, SigningSecretError>, faults: &Faults) -> Option<T> {
    parsed
        .map_err(|error| {
            let loc = vec![name("body"), name("secret")];
            faults.note(loc, "value_error", format!("Value error, {error}"));
        })
        .ok()
}
