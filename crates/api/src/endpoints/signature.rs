//! What a caller may say of an endpoint's signature.

use reprise_core::custom_headers::HeaderName;
use reprise_core::signing::{
    SchemeName, SchemeOptions, SignatureAlgorithm, SignaturePrefix, SignatureScheme, SigningSecret,
    SigningSecretError, SigningSecrets,
};

use crate::faults::{Faults, Field, name};

/// What a body says of the signature; what it leaves out stays as it is, or is the scheme's default.
#[derive(Clone, Debug, Default)]
pub(super) struct SignatureChoice {
    scheme: Option<SchemeName>,
    options: SchemeOptions,
}

impl SignatureChoice {
    /// What `null` says.
    pub(super) fn standard() -> Self {
        Self {
            scheme: Some(SchemeName::default()),
            options: SchemeOptions {
                algorithm: Some(SignatureAlgorithm::default()),
                ..SchemeOptions::default()
            },
        }
    }

    /// Reads the object; none where any part of it can't be read, which was noted.
    pub(super) fn read(field: Field) -> Option<Self> {
        let mut fields = field.object()?;
        let scheme = fields.readable("scheme", |field| field.one_of(&SchemeName::ALL));
        let header = fields.readable("header", |field| field.parse(HeaderName::parse));
        let prefix = fields.readable("prefix", |field| field.parse(SignaturePrefix::parse));
        let algorithm =
            fields.readable("algorithm", |field| field.one_of(&SignatureAlgorithm::ALL));
        fields.finish();
        Some(Self {
            scheme: scheme?,
            options: SchemeOptions {
                header: header?,
                prefix: prefix?,
                algorithm: algorithm?,
            },
        })
    }

    /// The scheme that it comes to. Header, prefix and algorithm of the old one are kept with the same scheme
    /// only.
    pub(super) fn resolve(self, old: &SignatureScheme, faults: &Faults) -> Option<SignatureScheme> {
        let scheme = self.scheme.unwrap_or_else(|| old.name());
        let kept = Some(old).filter(|old| old.name() == scheme);
        let SchemeOptions {
            header,
            prefix,
            algorithm,
        } = self.options;
        let options = SchemeOptions {
            header: header.or_else(|| kept?.header().cloned()),
            prefix: prefix.or_else(|| kept?.prefix().cloned()),
            algorithm: algorithm.or_else(|| kept.map(SignatureScheme::algorithm)),
        };
        SignatureScheme::new(scheme, options)
            .map_err(|conflicts| {
                for conflict in conflicts.iter() {
                    let loc = vec![name("body"), name("signature"), name(conflict.part())];
                    faults.note(loc, "value_error", format!("Value error, {conflict}"));
                }
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
