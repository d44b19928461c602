//! What a caller may say of an endpoint's signature.

use reprise_core::custom_headers::{CustomHeaders, HeaderName};
use reprise_core::endpoint::EndpointSettings;
use reprise_core::signing::{
    SchemeName, SchemeOptions, SignatureAlgorithm, SignaturePrefix, SignatureScheme, SigningSecret,
    SigningSecretError, SigningSecrets,
};

use crate::faults::{Faults, Field, name};

/// What a body says of the signature; what it leaves out stays as it is, or is the scheme's default. Where it says
/// `null`, it is the default: `Some(None)`.
#[derive(Clone, Debug, Default)]
pub(super) struct SignatureChoice {
    scheme: Option<SchemeName>,
    header: Option<Option<HeaderName>>,
    prefix: Option<Option<SignaturePrefix>>,
    algorithm: Option<SignatureAlgorithm>,
}

impl SignatureChoice {
    /// What `null` says.
    pub(super) fn standard() -> Self {
        Self {
            scheme: Some(SchemeName::default()),
            algorithm: Some(SignatureAlgorithm::default()),
            ..Self::default()
        }
    }

    /// Reads the object; none where any part of it can't be read, which was noted.
    pub(super) fn read(field: Field) -> Option<Self> {
        let mut fields = field.object()?;
        let scheme = fields.readable("scheme", SchemeName::default(), |field| {
            field.one_of(&SchemeName::ALL)
        });
        let header = fields.readable("header", None, |field| {
            field.parse(HeaderName::parse).map(Some)
        });
        let prefix = fields.readable("prefix", None, |field| {
            field.parse(SignaturePrefix::parse).map(Some)
        });
        let algorithm = fields.readable("algorithm", SignatureAlgorithm::default(), |field| {
            field.one_of(&SignatureAlgorithm::ALL)
        });
        fields.finish();
        Some(Self {
            scheme: scheme?,
            header: header?,
            prefix: prefix?,
            algorithm: algorithm?,
        })
    }

    /// The scheme that it comes to. Header, prefix and algorithm of the old one are kept with the same scheme
    /// only.
    pub(super) fn resolve(self, old: &SignatureScheme, faults: &Faults) -> Option<SignatureScheme> {
        let scheme = self.scheme.unwrap_or_else(|| old.name());
        let kept = Some(old).filter(|old| old.name() == scheme);
        let options = SchemeOptions {
            header: self
                .header
                .unwrap_or_else(|| kept.and_then(SignatureScheme::header).cloned()),
            prefix: self
                .prefix
                .unwrap_or_else(|| kept.and_then(SignatureScheme::prefix).cloned()),
            algorithm: self
                .algorithm
                .or_else(|| kept.map(SignatureScheme::algorithm)),
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

/// Notes at this field that a custom header would take the signature's place.
pub fn check_signature_header(
    field: &str,
    headers: &CustomHeaders,
    signature: Option<&SignatureScheme>,
    faults: &Faults,
) {
    let header = signature.and_then(SignatureScheme::header);
    if header.is_some_and(|header| headers.contains(header)) {
        let loc = vec![name("body"), name(field)];
        let message = "Value error, the signature's header can't be a custom header too";
        faults.note(loc, "value_error", message);
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
    old: &EndpointSettings,
    faults: &Faults,
) -> Option<SigningSecrets> {
    let kept = old.secrets.change_scheme(&old.signature, signature?);
    noted(kept, faults)
}

fn noted<T>(parsed: Result<T, SigningSecretError>, faults: &Faults) -> Option<T> {
    parsed
        .map_err(|error| {
            let loc = vec![name("body"), name("secret")];
            faults.note(loc, "value_error", format!("Value error, {error}"));
        })
        .ok()
}
