//! What a caller may say of an endpoint's signature.

use reprise_core::custom_headers::{CustomHeaders, HeaderName};
use reprise_core::signing::{
    SchemeOptions, SignatureAlgorithm, SignaturePrefix, SignatureScheme, SigningSecret,
    SigningSecretError, SigningSecrets,
};

use super::body::nullable;
use crate::faults::{Faults, Field, name};

/// What a body says of the signature; what it leaves out stays as it is, or is the scheme's default. Where it says `null`,
/// it is the default: `Some(None)`.
#[derive(Clone, Debug, Default)]
pub(super) struct SignatureChoice {
    scheme: Option<String>,
    header: Option<Option<String>>,
    prefix: Option<Option<String>>,
    algorithm: Option<SignatureAlgorithm>,
}

impl SignatureChoice {
    /// What `null` says.
    pub(super) fn standard() -> Self {
        Self {
            scheme: Some(default_scheme()),
            algorithm: Some(SignatureAlgorithm::default()),
            ..Self::default()
        }
    }

    /// Reads the object; its faults are noted.
    pub(super) fn read(field: Field) -> Option<Self> {
        let mut fields = field.object()?;
        let choice = Self {
            scheme: nullable(&mut fields, "scheme", default_scheme(), Field::text),
            header: nullable(&mut fields, "header", None, |field| field.text().map(Some)),
            prefix: nullable(&mut fields, "prefix", None, |field| field.text().map(Some)),
            algorithm: nullable(
                &mut fields,
                "algorithm",
                SignatureAlgorithm::default(),
                |field| field.parse(SignatureAlgorithm::parse),
            ),
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
            header: match &self.header {
                Some(header) => header.as_deref(),
                None => kept
                    .and_then(SignatureScheme::header)
                    .map(HeaderName::as_str),
            },
            prefix: match &self.prefix {
                Some(prefix) => prefix.as_deref(),
                None => kept
                    .and_then(SignatureScheme::prefix)
                    .map(SignaturePrefix::as_str),
            },
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

fn default_scheme() -> String {
    SignatureScheme::default().as_str().to_owned()
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
