//! What a caller may say of a hook: flat, where a hook is shown nested.

use reprise_core::custom_headers::CustomHeaders;
use reprise_core::endpoint::{Endpoint, EndpointLimits, EndpointSettings, EndpointStatus};
use reprise_core::endpoint_url::{EndpointUrl, UrlRules};
use reprise_core::event_type::EventPattern;
use reprise_core::hook_events;
use reprise_core::retry::RetryPolicy;
use reprise_core::signing::{
    SchemeName, SchemeOptions, SignatureScheme, SigningSecret, SigningSecrets,
};
use reprise_core::store::endpoints::EndpointChange;
use utoipa::ToSchema;

use crate::endpoints::both_families::{disabled_by_request, status_asked_for};
use crate::endpoints::{
    DEFAULT_TIMEOUT, MAX_PATTERNS, any_event, check_signature_header, read_url,
};
use crate::faults::{Faults, Field, Fields, name};

/// A new hook.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body; it is read field by field")]
pub struct HookBody {
    /// Where requests go: `https://` (or `http://`, where the operator allows it), a public host, and no port of a
    /// service that receives no webhooks.
    url: String,
    /// Whether it gets anything; default false.
    active: Option<bool>,
    /// `subject` (itself and everything below it), `subject:action` or `*`; default `["*"]`. At most 100, where a
    /// subject counts for two.
    #[schema(min_items = 1, max_items = 100)]
    events: Option<Vec<String>>,
    /// A header sent besides ours: `Name: value`.
    header: Option<String>,
    /// 1 to 256 visible ASCII characters, which sign the body in `X-Signature`; made by us if it is not given.
    #[schema(max_length = 256)]
    secret: Option<String>,
}

/// Changes to a hook.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body; it is read field by field")]
pub struct HookPatchBody {
    /// Where requests go: `https://` (or `http://`, where the operator allows it), a public host, and no port of a
    /// service that receives no webhooks.
    #[schema(value_type = String, required = false)]
    url: Option<String>,
    /// Whether it gets anything.
    #[schema(value_type = bool, required = false)]
    active: Option<bool>,
    /// `subject` (itself and everything below it), `subject:action` or `*`. At most 100, where a subject counts for
    /// two.
    #[schema(value_type = Vec<String>, required = false, min_items = 1, max_items = 100)]
    events: Option<Vec<String>>,
    /// A header sent besides ours: `Name: value`. It replaces all that were there, unless it is the one that is shown;
    /// null removes them.
    header: Option<String>,
    /// Another secret, at once.
    #[schema(value_type = String, required = false, max_length = 256)]
    secret: Option<String>,
}

/// What a body says: of each field nothing (`None`), or what it is to be. It may have faults.
pub(super) struct HookDraft {
    faults: Faults,
    url: Option<EndpointUrl>,
    active: Option<bool>,
    events: Option<Events>,
    header: Option<CustomHeaders>,
    secret: Option<String>,
}

/// The events of a body, as they were written and what they stand for.
struct Events {
    entries: Vec<String>,
    patterns: Vec<EventPattern>,
}

impl HookDraft {
    /// Reads the body of a new hook.
    pub(super) fn read_new(body: &[u8], rules: &UrlRules) -> Result<Self, Faults> {
        let faults = Faults::default();
        let mut fields = Fields::from_body(body, &faults)?;
        let draft = Self {
            url: fields.required("url", |field| read_url(field, rules)),
            active: fields.optional("active", Field::boolean),
            events: fields.optional("events", read_events),
            header: fields.take("header").and_then(read_header),
            secret: fields.optional("secret", read_secret),
            faults,
        };
        fields.finish();
        Ok(draft)
    }

    /// Reads the body of a change. As in A's family, null is refused where there is nothing that it could mean.
    pub(super) fn read_change(body: &[u8], rules: &UrlRules) -> Result<Self, Faults> {
        let faults = Faults::default();
        let mut fields = Fields::from_body(body, &faults)?;
        let draft = Self {
            url: fields.take("url").and_then(|field| read_url(field, rules)),
            active: fields.take("active").and_then(Field::boolean),
            events: fields.take("events").and_then(read_events),
            header: fields.take("header").and_then(read_header),
            secret: fields.take("secret").and_then(read_secret),
            faults,
        };
        fields.finish();
        Ok(draft)
    }

    /// What a new endpoint is made of.
    pub(super) fn into_new(self) -> Result<(EndpointSettings, EndpointStatus), Faults> {
        let signature = SignatureScheme::new(SchemeName::Body, SchemeOptions::default())
            .expect("the scheme's defaults are good ones");
        let secret = match &self.secret {
            Some(text) => check_secret(&signature, text, &self.faults),
            None => Some(SigningSecret::generate_for(&signature)),
        };
        let custom_headers = self.header.unwrap_or_default();
        check_signature_header("header", &custom_headers, Some(&signature), &self.faults);
        let status = if self.active.unwrap_or(false) {
            EndpointStatus::Enabled
        } else {
            disabled_by_request()
        };
        let settings = self.url.zip(secret).map(|(url, secret)| EndpointSettings {
            url,
            description: None,
            event_patterns: self
                .events
                .map_or_else(|| vec![any_event()], |events| events.patterns),
            timeout: DEFAULT_TIMEOUT,
            retry: RetryPolicy::default(),
            custom_headers,
            signature,
            secrets: SigningSecrets::new(secret),
            limits: EndpointLimits::default(),
        });
        self.faults
            .unless(settings.map(|settings| (settings, status)))
    }

    /// What an endpoint becomes. What is given back as it was shown changes nothing.
    pub(super) fn apply(self, endpoint: &Endpoint) -> Result<EndpointChange, Faults> {
        let old = &endpoint.settings;
        let secrets = match &self.secret {
            Some(text) if *text != old.secrets.current().hint() => {
                check_secret(&old.signature, text, &self.faults).map(SigningSecrets::new)
            }
            Some(_) | None => Some(old.secrets.clone()),
        };
        let event_patterns = match self.events {
            Some(events) if events.entries != hook_events::show(&old.event_patterns) => {
                events.patterns
            }
            Some(_) | None => old.event_patterns.clone(),
        };
        let custom_headers = match self.header {
            Some(headers) if headers.iter().next() != old.custom_headers.iter().next() => {
                check_signature_header("header", &headers, Some(&old.signature), &self.faults);
                headers
            }
            Some(_) | None => old.custom_headers.clone(),
        };
        let change = secrets.map(|secrets| EndpointChange {
            settings: EndpointSettings {
                url: self.url.unwrap_or_else(|| old.url.clone()),
                event_patterns,
                custom_headers,
                secrets,
                ..old.clone()
            },
            status: status_asked_for(self.active, &endpoint.status),
        });
        self.faults.unless(change)
    }
}

fn read_secret(field: Field) -> Option<String> {
    field.text_up_to(256)
}

fn read_events(field: Field) -> Option<Events> {
    let here = field.clone();
    let mut entries = Vec::new();
    let patterns = field.list(1..=MAX_PATTERNS, |item| {
        item.parse(|entry| {
            entries.push(entry.to_owned());
            hook_events::parse(entry)
        })
    })?;
    let patterns: Vec<EventPattern> = patterns.into_iter().flatten().collect();
    if patterns.len() > MAX_PATTERNS {
        // What the other family shows of it must be taken back there.
        let count = patterns.len();
        let message = format!(
            "List should have at most {MAX_PATTERNS} items after validation, not {count}: a subject counts for two"
        );
        return here.fault("too_long", message);
    }
    Some(Events { entries, patterns })
}

/// Reads `Name: value`; null and nothing stand for no header.
fn read_header(field: Field) -> Option<CustomHeaders> {
    if field.is_null() {
        return Some(CustomHeaders::default());
    }
    let here = field.clone();
    let text = field.text()?;
    if text.trim().is_empty() {
        return Some(CustomHeaders::default());
    }
    let Some((name, value)) = text.split_once(':') else {
        return here.value_error("must be a name and a value: 'Name: value'");
    };
    here.check(CustomHeaders::parse([(name.trim(), value)]))
}

fn check_secret(signature: &SignatureScheme, text: &str, faults: &Faults) -> Option<SigningSecret> {
    SigningSecret::parse_for(signature, text)
        .map_err(|error| {
            let loc = vec![name("body"), name("secret")];
            faults.note(loc, "value_error", format!("Value error, {error}"));
        })
        .ok()
}
