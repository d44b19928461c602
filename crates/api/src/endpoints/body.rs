//! What a caller may say of an endpoint, when making or changing one.

use std::ops::RangeInclusive;
use std::time::Duration;

use reprise_core::custom_headers::{CustomHeaders, CustomHeadersDraft, MAX_HEADERS};
use reprise_core::endpoint::{Endpoint, EndpointLimits, EndpointSettings};
use reprise_core::endpoint_url::{EndpointUrl, UrlRules};
use reprise_core::event_type::EventPattern;
use reprise_core::retry::{RetryDelays, RetryPolicy, RetrySchedule};
use reprise_core::signing::{SignatureScheme, SigningSecret, SigningSecrets};
use reprise_core::store::endpoints::EndpointChange;

use super::both_families::status_asked_for;
use super::signature::{SignatureChoice, check_secret, check_signature_header, keep_secrets};
use crate::faults::{Faults, Field, Fields, name};

/// Event patterns of an endpoint at most.
pub const MAX_PATTERNS: usize = 100;
/// Characters of a description at most; the schema's `CHECK` is the same.
const MAX_DESCRIPTION_CHARS: usize = 1_000;
/// An endpoint's timeout, when the caller does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

/// What a body says: of each field nothing (`None`), or what it is to be. It may have faults, which are told together
/// with those that show only beside the rest of the endpoint.
pub(super) struct EndpointPatch {
    faults: Faults,
    url: Option<EndpointUrl>,
    description: Option<Option<String>>,
    event_patterns: Option<Vec<EventPattern>>,
    timeout: Option<Duration>,
    max_retries: Option<Option<u32>>,
    headers: Option<CustomHeaders>,
    secret: Option<String>,
    signature: Option<SignatureChoice>,
    /// Whether the body names a signature that can't be read, so that no secret can be judged by it.
    has_bad_signature: bool,
    schedule: Option<RetrySchedule>,
    rate_per_second: Option<Option<u32>>,
    max_in_flight: Option<Option<u32>>,
    enabled: Option<bool>,
}

/// Reads a field whose `null` means its default.
fn nullable<'a, T>(
    fields: &mut Fields<'a>,
    field: &str,
    default: T,
    read: impl FnOnce(Field<'a>) -> Option<T>,
) -> Option<T> {
    let value = fields.take(field)?;
    if value.is_null() {
        Some(default)
    } else {
        read(value)
    }
}

impl EndpointPatch {
    /// Reads the body of a new endpoint.
    ///
    /// # Errors
    ///
    /// One fault when it is no JSON object.
    pub(super) fn read_new(body: &[u8], rules: &UrlRules) -> Result<Self, Faults> {
        let faults = Faults::default();
        let mut fields = Fields::from_body(body, &faults)?;
        let patch = Self {
            url: fields.required("url", |field| read_url(field, rules)),
            event_patterns: fields.optional("event_patterns", read_patterns),
            secret: fields.optional("secret", read_secret),
            ..Self::read_settings(&mut fields, faults)
        };
        fields.finish();
        Ok(patch)
    }

    /// Reads the body of a change.
    ///
    /// # Errors
    ///
    /// One fault when it is no JSON object.
    pub(super) fn read_change(body: &[u8], rules: &UrlRules) -> Result<Self, Faults> {
        let faults = Faults::default();
        let mut fields = Fields::from_body(body, &faults)?;
        // Not `optional`: null would say nothing, or for patterns `*`, which nobody means who takes some away.
        let patch = Self {
            url: fields.take("url").and_then(|field| read_url(field, rules)),
            event_patterns: fields.take("event_patterns").and_then(read_patterns),
            secret: fields.take("secret").and_then(read_secret),
            enabled: fields.take("enabled").and_then(Field::boolean),
            ..Self::read_settings(&mut fields, faults)
        };
        fields.finish();
        Ok(patch)
    }

    /// Reads what new endpoints and changes have in common.
    fn read_settings(fields: &mut Fields, faults: Faults) -> Self {
        let has_signature = fields.has("signature");
        let signature = nullable(
            fields,
            "signature",
            SignatureChoice::standard(),
            SignatureChoice::read,
        );
        Self {
            faults,
            url: None,
            description: nullable(fields, "description", None, |field| {
                field.text_up_to(MAX_DESCRIPTION_CHARS).map(Some)
            }),
            event_patterns: None,
            timeout: nullable(fields, "timeout_seconds", DEFAULT_TIMEOUT, |field| {
                Some(Duration::from_secs(field.integer(1..=60)?.unsigned_abs()))
            }),
            max_retries: nullable(fields, "max_retries", None, |field| {
                u32::try_from(field.integer(0..=50)?).ok().map(Some)
            }),
            headers: nullable(fields, "headers", CustomHeaders::default(), read_headers),
            secret: None,
            has_bad_signature: has_signature && signature.is_none(),
            signature,
            schedule: nullable(
                fields,
                "retry_schedule",
                RetrySchedule::Default,
                read_schedule,
            ),
            rate_per_second: nullable(fields, "rate_limit_per_second", None, |field| {
                read_limit(field, 1..=10_000)
            }),
            max_in_flight: nullable(fields, "max_in_flight", None, |field| {
                read_limit(field, 1..=1_000)
            }),
            enabled: None,
        }
    }

    /// The settings of a new endpoint.
    pub(super) fn into_new(self) -> Result<EndpointSettings, Faults> {
        let faults = self.faults.clone();
        let signature = self.resolve_signature(&SignatureScheme::default());
        let secret = match &self.secret {
            Some(text) => check_secret(signature.as_ref(), text, &faults),
            None => signature.as_ref().map(SigningSecret::generate_for),
        };
        let retry = make_policy(
            self.schedule.unwrap_or_default(),
            self.max_retries.flatten(),
            &faults,
        );
        let custom_headers = self.headers.unwrap_or_default();
        check_signature_header("headers", &custom_headers, signature.as_ref(), &faults);
        let settings = (|| {
            Some(EndpointSettings {
                url: self.url?,
                description: self.description.flatten(),
                event_patterns: self.event_patterns.unwrap_or_else(|| vec![any_event()]),
                timeout: self.timeout.unwrap_or(DEFAULT_TIMEOUT),
                retry: retry?,
                custom_headers,
                signature: signature?,
                secrets: SigningSecrets::new(secret?),
                limits: EndpointLimits {
                    rate_per_second: self.rate_per_second.flatten(),
                    max_in_flight: self.max_in_flight.flatten(),
                },
            })
        })();
        faults.unless(settings)
    }

    /// The signature beside what the endpoint has; none where the body's is at fault.
    fn resolve_signature(&self, old: &SignatureScheme) -> Option<SignatureScheme> {
        match self.signature.clone() {
            Some(choice) => choice.resolve(old, &self.faults),
            None if self.has_bad_signature => None,
            None => Some(old.clone()),
        }
    }

    /// What an endpoint becomes.
    pub(super) fn apply(self, endpoint: &Endpoint) -> Result<EndpointChange, Faults> {
        let faults = self.faults.clone();
        let old = &endpoint.settings;
        let signature = self.resolve_signature(&old.signature);
        let secrets = match &self.secret {
            Some(text) => check_secret(signature.as_ref(), text, &faults).map(SigningSecrets::new),
            None => keep_secrets(signature.as_ref(), old, &faults),
        };
        let retry = make_policy(
            self.schedule
                .unwrap_or_else(|| old.retry.schedule().clone()),
            self.max_retries
                .unwrap_or_else(|| old.retry.explicit_max_retries()),
            &faults,
        );
        let custom_headers = self.headers.unwrap_or_else(|| old.custom_headers.clone());
        check_signature_header("headers", &custom_headers, signature.as_ref(), &faults);
        let status = status_asked_for(self.enabled, &endpoint.status);
        let change = (|| {
            let settings = EndpointSettings {
                url: self.url.unwrap_or_else(|| old.url.clone()),
                description: self.description.unwrap_or_else(|| old.description.clone()),
                event_patterns: self
                    .event_patterns
                    .unwrap_or_else(|| old.event_patterns.clone()),
                timeout: self.timeout.unwrap_or(old.timeout),
                retry: retry?,
                custom_headers,
                signature: signature?,
                secrets: secrets?,
                limits: EndpointLimits {
                    rate_per_second: self.rate_per_second.unwrap_or(old.limits.rate_per_second),
                    max_in_flight: self.max_in_flight.unwrap_or(old.limits.max_in_flight),
                },
            };
            Some(EndpointChange { settings, status })
        })();
        faults.unless(change)
    }
}

/// Reads a URL that an endpoint may have.
pub fn read_url(field: Field, rules: &UrlRules) -> Option<EndpointUrl> {
    field.parse(|text| EndpointUrl::parse(text, rules))
}

/// The pattern that matches everything.
pub fn any_event() -> EventPattern {
    EventPattern::parse("*").expect("the pattern that matches everything is one")
}

fn read_patterns(field: Field) -> Option<Vec<EventPattern>> {
    field.list(1..=MAX_PATTERNS, |item| item.parse(EventPattern::parse))
}

fn read_secret(field: Field) -> Option<String> {
    field.text_up_to(256)
}

fn read_headers(field: Field) -> Option<CustomHeaders> {
    let here = field.clone();
    let mut draft = CustomHeadersDraft::default();
    field.entries(MAX_HEADERS, |name, value| {
        let at_value = value.clone();
        let text = value.text()?;
        at_value.check(draft.add(name, &text))
    })?;
    here.check(draft.finish())
}

fn read_limit(field: Field, range: RangeInclusive<i64>) -> Option<Option<u32>> {
    u32::try_from(field.integer(range)?).ok().map(Some)
}

fn read_schedule(field: Field) -> Option<RetrySchedule> {
    if field.is_text() {
        return field.parse(|word| match word {
            "exponential" => Ok(RetrySchedule::Exponential),
            _ => Err("must be a list of delays in seconds, or 'exponential'"),
        });
    }
    let here = field.clone();
    let seconds = field.list(0..=50, |item| item.integer(0..=604_800))?;
    let delays = seconds
        .into_iter()
        .map(|seconds| Duration::from_secs(seconds.unsigned_abs()))
        .collect();
    here.check(RetryDelays::new(delays))
        .map(RetrySchedule::Delays)
}

fn make_policy(
    schedule: RetrySchedule,
    max_retries: Option<u32>,
    faults: &Faults,
) -> Option<RetryPolicy> {
    RetryPolicy::new(schedule, max_retries)
        .map_err(|error| {
            let loc = vec![name("body"), name("max_retries")];
            faults.note(loc, "value_error", format!("Value error, {error}"));
        })
        .ok()
}
