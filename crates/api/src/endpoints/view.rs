//! An endpoint as the API shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use reprise_core::endpoint::{Endpoint, EndpointStatus};
use reprise_core::retry::RetrySchedule;
use reprise_core::signing::{SchemeName, SignatureAlgorithm};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};

use crate::openapi::words;
use crate::shown_secret::ShownSecret;
use crate::timestamp::Timestamp;

/// How an endpoint's requests are signed.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignatureResponse {
    #[schema(schema_with = words::<SchemeName>)]
    scheme: &'static str,
    /// The header that carries the signature.
    header: String,
    /// What precedes the signature; only with `body`.
    prefix: Option<String>,
    #[schema(schema_with = words::<SignatureAlgorithm>)]
    algorithm: &'static str,
}

/// The schema of a retry schedule.
fn schedule_schema() -> Schema {
    schedule().into()
}

/// The same, or null.
pub(super) fn optional_schedule_schema() -> Schema {
    schedule()
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .into()
}

fn schedule() -> OneOfBuilder {
    let seconds = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0))
        .maximum(Some(604_800));
    let word = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["exponential"]));
    OneOfBuilder::new()
        .description(Some("Delays in seconds, the last of which repeats, or `exponential`: 25 retries over three weeks."))
        .item(ArrayBuilder::new().items(seconds).max_items(Some(50)))
        .item(word)
}

/// An endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndpointResponse {
    id: String,
    user_id: i64,
    #[schema(value_type = String)]
    url: ShownSecret,
    description: Option<String>,
    event_patterns: Vec<String>,
    timeout_seconds: u64,
    max_retries: u32,
    /// Delays in seconds, or `"exponential"`.
    #[schema(schema_with = schedule_schema)]
    retry_schedule: Value,
    #[schema(value_type = BTreeMap<String, String>)]
    headers: BTreeMap<String, ShownSecret>,
    /// Attempts begun in a second at most, over all dispatchers; null: any number.
    rate_limit_per_second: Option<u32>,
    /// Attempts under way at once at most, over all dispatchers; null: any number.
    max_in_flight: Option<u32>,
    signature: SignatureResponse,
    /// The secret's beginning and end, to tell it from another.
    secret_hint: String,
    /// With `ed25519`, what receivers verify with: `whpk_…`.
    public_key: Option<String>,
    /// Until then the secret before the last rotation signs: besides the present one, or, in the schemes with one
    /// signature, instead of it.
    #[schema(value_type = Option<String>, format = DateTime)]
    previous_secret_expires_at: Option<Timestamp>,
    enabled: bool,
    #[schema(schema_with = words::<EndpointStatus>)]
    status: &'static str,
    disabled_reason: Option<String>,
    /// The first failed attempt since the last success.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// The last success, exact to ten seconds.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_success_at: Option<Timestamp>,
    /// Since when the receiver counts as dead: deliveries wait, and one at a time is sent now and then to see whether
    /// it answers. Null: they are sent as ever.
    #[schema(value_type = Option<String>, format = DateTime)]
    circuit_opened_at: Option<Timestamp>,
    /// When the receiver echoed a challenge; null again when the URL changes.
    #[schema(value_type = Option<String>, format = DateTime)]
    verified_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// An endpoint with its secret, which is shown only once.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndpointWithSecret {
    /// The endpoint.
    #[serde(flatten)]
    endpoint: EndpointResponse,
    /// The signing secret.
    #[schema(value_type = String)]
    secret: ShownSecret,
}

impl From<&Endpoint> for EndpointResponse {
    fn from(endpoint: &Endpoint) -> Self {
        let settings = &endpoint.settings;
        let signature = &settings.signature;
        Self {
            id: endpoint.id.to_string(),
            user_id: endpoint.owner.0,
            url: ShownSecret::new(settings.url.as_str()),
            description: settings.description.clone(),
            event_patterns: settings
                .event_patterns
                .iter()
                .map(ToString::to_string)
                .collect(),
            timeout_seconds: settings.timeout.as_secs(),
            max_retries: settings.retry.max_retries(),
            retry_schedule: show_schedule(settings.retry.schedule()),
            headers: settings
                .custom_headers
                .iter()
                .map(|(name, value)| (name.to_string(), ShownSecret::new(value.expose())))
                .collect(),
            rate_limit_per_second: settings.limits.rate_per_second,
            max_in_flight: settings.limits.max_in_flight,
            signature: SignatureResponse {
                scheme: signature.name().as_str(),
                header: signature.header().map_or_else(
                    || reprise_core::signing::STANDARD_HEADER.to_owned(),
                    ToString::to_string,
                ),
                prefix: signature.prefix().map(|prefix| prefix.as_str().to_owned()),
                algorithm: signature.algorithm().as_str(),
            },
            secret_hint: settings.secrets.current().hint(),
            public_key: settings.secrets.current().public_key(),
            previous_secret_expires_at: settings
                .secrets
                .previous()
                .map(|previous| previous.expires_at)
                .filter(|expires_at| *expires_at > OffsetDateTime::now_utc())
                .map(Timestamp),
            enabled: endpoint.status == EndpointStatus::Enabled,
            status: endpoint.status.as_str(),
            disabled_reason: match &endpoint.status {
                EndpointStatus::Disabled { reason } => Some(reason.clone()),
                EndpointStatus::Enabled | EndpointStatus::Deleted => None,
            },
            failing_since: endpoint.failing_since.map(Timestamp),
            last_success_at: endpoint.last_success_at.map(Timestamp),
            circuit_opened_at: endpoint.circuit_opened_at.map(Timestamp),
            verified_at: endpoint.verified_at.map(Timestamp),
            created_at: Timestamp(endpoint.created_at),
            updated_at: Timestamp(endpoint.updated_at),
        }
    }
}

impl From<&Endpoint> for EndpointWithSecret {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            endpoint: endpoint.into(),
            secret: ShownSecret::new(endpoint.settings.secrets.current().expose()),
        }
    }
}

fn show_schedule(schedule: &RetrySchedule) -> Value {
    match schedule {
        RetrySchedule::Exponential => Value::from("exponential"),
        RetrySchedule::Default | RetrySchedule::Delays(_) => {
            schedule.delays().iter().map(Duration::as_secs).collect()
        }
    }
}
