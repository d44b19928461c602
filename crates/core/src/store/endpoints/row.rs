//! How an endpoint lies in its row.

use std::time::Duration;

use diesel::prelude::{AsChangeset, Insertable, Queryable, QueryableByName, Selectable};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::schema::endpoints;
use super::super::{StoreError, stored};
use super::read_patterns;
use crate::custom_headers::{CustomHeaders, HeaderName};
use crate::endpoint::{Endpoint, EndpointLimits, EndpointSettings, EndpointStatus};
use crate::endpoint_url::EndpointUrl;
use crate::event_type::EventPattern;
use crate::ids::{EndpointId, TenantId, UserId};
use crate::retry::{RetryDelays, RetryPolicy, RetrySchedule};
use crate::sealing::KeyRing;
use crate::signing::{
    PreviousSecret, SchemeOptions, SignaturePrefix, SignatureScheme, SigningSecret, SigningSecrets,
};

/// The columns that the owner decides.
#[derive(AsChangeset, Insertable)]
#[diesel(table_name = endpoints, treat_none_as_null = true)]
pub(super) struct SettingsRow {
    url: String,
    description: Option<String>,
    event_patterns: Vec<String>,
    timeout_seconds: i32,
    max_retries: Option<i32>,
    retry_schedule: Option<Value>,
    custom_headers_sealed: Vec<u8>,
    secret_sealed: Vec<u8>,
    secret_hint: String,
    signature_scheme: &'static str,
    signature_header: Option<String>,
    signature_prefix: Option<String>,
    signature_algorithm: &'static str,
    previous_secret_sealed: Option<Vec<u8>>,
    previous_secret_expires_at: Option<OffsetDateTime>,
    previous_secret_signs_first: bool,
    rate_limit_per_second: Option<i32>,
    max_in_flight: Option<i32>,
}

/// The whole row.
#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = endpoints)]
pub(super) struct EndpointRow {
    tenant_id: Uuid,
    id: Uuid,
    user_id: i64,
    url: String,
    description: Option<String>,
    event_patterns: Vec<Option<String>>,
    timeout_seconds: i32,
    max_retries: Option<i32>,
    retry_schedule: Option<Value>,
    custom_headers_sealed: Vec<u8>,
    secret_sealed: Vec<u8>,
    signature_scheme: String,
    signature_header: Option<String>,
    signature_prefix: Option<String>,
    signature_algorithm: String,
    previous_secret_sealed: Option<Vec<u8>>,
    previous_secret_expires_at: Option<OffsetDateTime>,
    previous_secret_signs_first: bool,
    rate_limit_per_second: Option<i32>,
    max_in_flight: Option<i32>,
    pub(super) version: i64,
    status: String,
    disabled_reason: Option<String>,
    failing_since: Option<OffsetDateTime>,
    last_success_at: Option<OffsetDateTime>,
    circuit_opened_at: Option<OffsetDateTime>,
    verified_at: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

/// Names of sealed columns, which their contents are bound to.
pub(super) const SECRET: &str = "secret";
pub(super) const PREVIOUS_SECRET: &str = "previous_secret";
pub(super) const CUSTOM_HEADERS: &str = "custom_headers";

/// What sealed columns are bound to: a value moved to another row does not open.
pub(super) fn seal_context(tenant_id: Uuid, id: Uuid, column: &str) -> Vec<u8> {
    [
        tenant_id.as_bytes().as_slice(),
        id.as_bytes(),
        column.as_bytes(),
    ]
    .concat()
}

/// The reason column of a status.
pub(super) fn disabled_reason(status: &EndpointStatus) -> Option<&str> {
    match status {
        EndpointStatus::Disabled { reason } => Some(reason),
        EndpointStatus::Enabled | EndpointStatus::Deleted => None,
    }
}

impl SettingsRow {
    pub(super) fn seal(
        keys: &KeyRing,
        tenant_id: TenantId,
        id: EndpointId,
        settings: &EndpointSettings,
    ) -> Self {
        let seal = |column, plain: &[u8]| {
            keys.seal(
                plain,
                &seal_context(tenant_id.as_uuid(), id.as_uuid(), column),
            )
        };
        let headers: Vec<(&str, &str)> = settings
            .custom_headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        let headers = serde_json::to_vec(&headers).expect("pairs of strings are always JSON");
        let signature = &settings.signature;
        let (current, previous) = (settings.secrets.current(), settings.secrets.previous());
        Self {
            url: settings.url.as_str().to_owned(),
            description: settings.description.clone(),
            event_patterns: settings
                .event_patterns
                .iter()
                .map(EventPattern::to_string)
                .collect(),
            timeout_seconds: i32::try_from(settings.timeout.as_secs()).unwrap_or(i32::MAX),
            max_retries: settings.retry.explicit_max_retries().map(saturate),
            retry_schedule: write_schedule(settings.retry.schedule()),
            custom_headers_sealed: seal(CUSTOM_HEADERS, &headers),
            secret_sealed: seal(SECRET, current.expose().as_bytes()),
            secret_hint: current.hint(),
            signature_scheme: signature.name().as_str(),
            signature_header: signature.header().map(ToString::to_string),
            signature_prefix: signature.prefix().map(|prefix| prefix.as_str().to_owned()),
            signature_algorithm: signature.algorithm().as_str(),
            previous_secret_sealed: previous
                .map(|previous| seal(PREVIOUS_SECRET, previous.secret.expose().as_bytes())),
            previous_secret_expires_at: previous.map(|previous| previous.expires_at),
            previous_secret_signs_first: previous.is_some_and(|previous| previous.signs_first),
            rate_limit_per_second: settings.limits.rate_per_second.map(saturate),
            max_in_flight: settings.limits.max_in_flight.map(saturate),
        }
    }
}

impl EndpointRow {
    pub(super) fn open(self, keys: &KeyRing) -> Result<Endpoint, StoreError> {
        let signature = self.signature()?;
        Ok(Endpoint {
            tenant_id: TenantId::from_uuid(self.tenant_id),
            id: EndpointId::from_uuid(self.id),
            owner: UserId(self.user_id),
            settings: EndpointSettings {
                url: stored("url", EndpointUrl::from_stored(&self.url))?,
                custom_headers: self.custom_headers(keys)?,
                secrets: self.secrets(keys, &signature)?,
                signature,
                limits: EndpointLimits {
                    rate_per_second: read_limit(self.rate_limit_per_second)?,
                    max_in_flight: read_limit(self.max_in_flight)?,
                },
                description: self.description,
                event_patterns: read_patterns(self.event_patterns)?,
                timeout: Duration::from_secs(u64::try_from(self.timeout_seconds).unwrap_or(0)),
                retry: read_policy(self.max_retries, self.retry_schedule)?,
            },
            status: read_status(&self.status, self.disabled_reason)?,
            failing_since: self.failing_since,
            last_success_at: self.last_success_at,
            circuit_opened_at: self.circuit_opened_at,
            verified_at: self.verified_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }

    fn signature(&self) -> Result<SignatureScheme, StoreError> {
        const WHAT: &str = "signature";
        let (header, prefix) = (&self.signature_header, &self.signature_prefix);
        let options = SchemeOptions {
            header: stored(WHAT, header.as_deref().map(HeaderName::parse).transpose())?,
            prefix: stored(
                WHAT,
                prefix.as_deref().map(SignaturePrefix::parse).transpose(),
            )?,
            algorithm: Some(stored(WHAT, self.signature_algorithm.parse())?),
        };
        let name = stored(WHAT, self.signature_scheme.parse())?;
        stored(WHAT, SignatureScheme::new(name, options))
    }

    fn custom_headers(&self, keys: &KeyRing) -> Result<CustomHeaders, StoreError> {
        let plain = self.open_column(keys, CUSTOM_HEADERS, &self.custom_headers_sealed)?;
        // serde_json's own message would quote what it read, which is a secret.
        let pairs = serde_json::from_slice(&plain).map_err(|_| "no list of pairs");
        let pairs: Vec<(String, String)> = stored(CUSTOM_HEADERS, pairs)?;
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        stored(CUSTOM_HEADERS, CustomHeaders::parse(pairs))
    }

    fn secrets(
        &self,
        keys: &KeyRing,
        signature: &SignatureScheme,
    ) -> Result<SigningSecrets, StoreError> {
        let read = |column, sealed| {
            let text = stored(
                column,
                String::from_utf8(self.open_column(keys, column, sealed)?),
            )?;
            stored(column, SigningSecret::parse_for(signature, &text))
        };
        let previous = self
            .previous_secret_sealed
            .as_ref()
            .zip(self.previous_secret_expires_at)
            .map(|(sealed, expires_at)| {
                Ok::<_, StoreError>(PreviousSecret {
                    secret: read(PREVIOUS_SECRET, sealed)?,
                    expires_at,
                    signs_first: self.previous_secret_signs_first,
                })
            })
            .transpose()?;
        let current = read(SECRET, &self.secret_sealed)?;
        Ok(SigningSecrets::with_previous(current, previous))
    }

    fn open_column(
        &self,
        keys: &KeyRing,
        column: &'static str,
        sealed: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let context = seal_context(self.tenant_id, self.id, column);
        stored(column, keys.open(sealed, &context))
    }
}

/// Reads an endpoint's status back from its two columns.
pub(in crate::store) fn read_status(
    status: &str,
    reason: Option<String>,
) -> Result<EndpointStatus, StoreError> {
    match (status, reason) {
        ("enabled", None) => Ok(EndpointStatus::Enabled),
        ("disabled", Some(reason)) => Ok(EndpointStatus::Disabled { reason }),
        ("deleted", None) => Ok(EndpointStatus::Deleted),
        (other, _) => Err(StoreError::corrupt("endpoint status", other)),
    }
}

/// The number as PostgreSQL's `integer`, the largest one if it does not fit.
fn saturate(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn read_limit(limit: Option<i32>) -> Result<Option<u32>, StoreError> {
    limit
        .map(|limit| stored("limit", u32::try_from(limit)))
        .transpose()
}

fn write_schedule(schedule: &RetrySchedule) -> Option<Value> {
    match schedule {
        RetrySchedule::Default => None,
        RetrySchedule::Exponential => Some(Value::from("exponential")),
        RetrySchedule::Delays(delays) => {
            Some(delays.as_slice().iter().map(Duration::as_secs).collect())
        }
    }
}

/// Reads a retry policy back from its two columns.
pub(in crate::store) fn read_policy(
    max_retries: Option<i32>,
    schedule: Option<Value>,
) -> Result<RetryPolicy, StoreError> {
    let schedule = match schedule {
        None => RetrySchedule::Default,
        Some(Value::String(word)) if word == "exponential" => RetrySchedule::Exponential,
        Some(value) => {
            let seconds: Vec<u64> = stored("retry schedule", serde_json::from_value(value))?;
            let delays = seconds.into_iter().map(Duration::from_secs).collect();
            RetrySchedule::Delays(stored("retry schedule", RetryDelays::new(delays))?)
        }
    };
    let max_retries = max_retries
        .map(|count| stored("max_retries", u32::try_from(count)))
        .transpose()?;
    stored("retry policy", RetryPolicy::new(schedule, max_retries))
}
