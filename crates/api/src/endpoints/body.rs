//! What a caller may say of an endpoint, when making or changing one.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use reprise_core::custom_headers::CustomHeaders;
use reprise_core::endpoint::{Endpoint, EndpointLimits, EndpointSettings};
use reprise_core::endpoint_url::{EndpointUrl, UrlRules};
use reprise_core::event_type::EventPattern;
use reprise_core::retry::{RetryDelays, RetryPolicy, RetrySchedule};
use reprise_core::signing::{SignatureScheme, SigningSecret, SigningSecrets};
use reprise_core::store::endpoints::EndpointChange;
use serde_json::Value;
use utoipa::ToSchema;

use super::both_families::status_asked_for;
use super::signature::{SignatureChoice, check_secret, check_signature_header, keep_secrets};
use crate::faults::{Faults, Field, Fields, name};

/// Event patterns of an endpoint at most.
pub const MAX_PATTERNS: usize = 100;
/// Characters of a description at most; the schema's `CHECK` is the same.
const MAX_DESCRIPTION_CHARS: usize = 1_000;
/// An endpoint's timeout, when the caller does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);
/// How requests are signed. `null` is a field's default.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body; it is read field by field")]
pub struct SignatureBody {
    /// `standard` (default), `timestamped` or `body`.
    scheme: Option<String>,
    /// The header that carries the signature; not with `standard`.
    header: Option<String>,
    /// What precedes the signature; only with `body`.
    prefix: Option<String>,
    /// `hmac-sha256` (default), or with `standard` also `ed25519`.
    algorithm: Option<String>,
}

/// A new endpoint.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body; it is read field by field")]
pub struct EndpointBody {
    /// Where requests go.
    url: String,
    /// A note for people.
    description: Option<String>,
    /// A type, `prefix.*` or `*`; default `["*"]`.
    event_patterns: Option<Vec<String>>,
    /// One deadline for an attempt, 1 to 60, default 15.
    timeout_seconds: Option<i32>,
    /// Retries after the first attempt, 0 to 50; default: the schedule's length.
    max_retries: Option<i32>,
    /// Headers sent besides ours.
    headers: Option<BTreeMap<String, String>>,
    /// The signing secret, made by us if it is not given: `whsec_` and base64 of 24 to 64 bytes; with `ed25519` `whsk_`
    /// and base64 of a seed, or of a seed and its public key; with `timestamped` and `body` 1 to 256 visible ASCII
    /// characters.
    secret: Option<String>,
    /// How requests are signed.
    signature: Option<SignatureBody>,
    /// Attempts begun in a second at most, over all dispatchers; null: any number.
    #[schema(minimum = 1, maximum = 10_000)]
    rate_limit_per_second: Option<i32>,
    /// Attempts under way at once at most, over all dispatchers; null: any number.
    #[schema(minimum = 1, maximum = 1_000)]
    max_in_flight: Option<i32>,
    /// Delays in seconds, or `"exponential"`.
    #[schema(schema_with = super::view::schedule_schema, required = false)]
    retry_schedule: Option<Value>,
}

/// Changes to an endpoint. `null` resets a field to what it is by default, where it has a default that says nothing of its
/// own; it is refused of `url`, `event_patterns`, `secret` and `enabled`.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body; it is read field by field")]
pub struct EndpointPatchBody {
    /// Where requests go.
    #[schema(value_type = String, required = false)]
    url: Option<String>,
    /// A note for people; null: none.
    description: Option<String>,
    /// A type, `prefix.*` or `*`.
    #[schema(value_type = Vec<String>, required = false)]
    event_patterns: Option<Vec<String>>,
    /// One deadline for an attempt, 1 to 60; null: 15.
    timeout_seconds: Option<i32>,
    /// Retries after the first attempt, 0 to 50; null: the schedule's length.
    max_retries: Option<i32>,
    /// Headers sent besides ours; replaces all that were there; null: none.
    headers: Option<BTreeMap<String, String>>,
    /// Another signing secret, at once; one that overlaps with the old one: `rotate-secret`.
    #[schema(value_type = String, required = false)]
    secret: Option<String>,
    /// How requests are signed; null: `standard`.
    signature: Option<SignatureBody>,
    /// Attempts begun in a second at most, over all dispatchers; null: any number.
    #[schema(minimum = 1, maximum = 10_000)]
    rate_limit_per_second: Option<i32>,
    /// Attempts under way at once at most, over all dispatchers; null: any number.
    #[schema(minimum = 1, maximum = 1_000)]
    max_in_flight: Option<i32>,
    /// Delays in seconds, or `"exponential"`; null: the default schedule.
    #[schema(schema_with = super::view::schedule_schema, required = false)]
    retry_schedule: Option<Value>,
    /// Whether it receives anything.
    #[schema(value_type = bool, required = false)]
    enabled: Option<bool>,
}

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
pub(super) fn nullable<T>(
    fields: &mut Fields,
    field: &str,
    default: T,
    read: impl FnOnce(Field) -> Option<T>,
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
        let signature = self.resolve_signature(&SignatureScheme::default(), &faults);
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
    fn resolve_signature(&self, old: &SignatureScheme, faults: &Faults) -> Option<SignatureScheme> {
        match &self.signature {
            Some(choice) => choice.resolve(old, faults),
            None if self.has_bad_signature => None,
            None => Some(old.clone()),
        }
    }

    /// What an endpoint becomes.
    pub(super) fn apply(self, endpoint: &Endpoint) -> Result<EndpointChange, Faults> {
        let faults = self.faults.clone();
        let old = &endpoint.settings;
        let signature = self.resolve_signature(&old.signature, &faults);
        let secrets = match &self.secret {
            Some(text) => check_secret(signature.as_ref(), text, &faults).map(SigningSecrets::new),
            None => keep_secrets(signature.as_ref(), &old.secrets, &faults),
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
    let pairs = field.texts_by_name()?;
    here.check(CustomHeaders::parse(
        pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    ))
}

fn read_limit(field: Field, range: RangeInclusive<i64>) -> Option<Option<u32>> {
    u32::try_from(field.integer(range)?).ok().map(Some)
}

fn read_schedule(field: Field) -> Option<RetrySchedule> {
    match field.value() {
        Value::String(word) if word == "exponential" => Some(RetrySchedule::Exponential),
        Value::String(_) => {
            field.value_error("must be a list of delays in seconds, or 'exponential'")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            let here = field.clone();
            let seconds = field.list(0..=50, |item| item.integer(0..=604_800))?;
            let delays = seconds
                .into_iter()
                .map(|seconds| Duration::from_secs(seconds.unsigned_abs()))
                .collect();
            here.check(RetryDelays::new(delays))
                .map(RetrySchedule::Delays)
        }
    }
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
