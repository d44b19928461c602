//! Endpoints: where deliveries go, which events they want, how they are signed and retried.

use std::time::Duration;

use time::OffsetDateTime;

use crate::custom_headers::CustomHeaders;
use crate::endpoint_url::EndpointUrl;
use crate::event_type::EventPattern;
use crate::ids::{EndpointId, TenantId, UserId};
use crate::retry::RetryPolicy;
use crate::signing::{SignatureScheme, SigningSecrets};

/// What the owner of an endpoint decides about it.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSettings {
    /// Where requests go.
    pub url: EndpointUrl,
    /// A note for people.
    pub description: Option<String>,
    /// Which events it gets; at least one.
    pub event_patterns: Vec<EventPattern>,
    /// One deadline for an attempt, from name resolution to the end of the response.
    pub timeout: Duration,
    /// When failed attempts are repeated.
    pub retry: RetryPolicy,
    /// Headers sent besides ours.
    pub custom_headers: CustomHeaders,
    /// How requests are signed.
    pub signature: SignatureScheme,
    /// What they are signed with.
    pub secrets: SigningSecrets,
    /// What it may be sent at most.
    pub limits: EndpointLimits,
}

/// Limits of an endpoint, which hold over all dispatchers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointLimits {
    /// Attempts begun in a second at most, 1 to 10,000.
    pub rate_per_second: Option<u32>,
    /// Attempts under way at once at most, 1 to 1,000.
    pub max_in_flight: Option<u32>,
}

impl EndpointLimits {
    /// Whether there is any.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.rate_per_second.is_some() || self.max_in_flight.is_some()
    }
}

/// Whether an endpoint receives anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointStatus {
    /// It does.
    Enabled,
    /// Its unfinished deliveries are kept back until it is enabled again.
    Disabled {
        /// Who or what disabled it, for people.
        reason: String,
    },
    /// Gone for good; kept for the history that names it.
    Deleted,
}

impl EndpointStatus {
    /// The contract's word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled { .. } => "disabled",
            Self::Deleted => "deleted",
        }
    }
}

/// An endpoint as it stands.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its id.
    pub id: EndpointId,
    /// The user who made it.
    pub owner: UserId,
    /// What its owner decided.
    pub settings: EndpointSettings,
    /// Whether it receives anything.
    pub status: EndpointStatus,
    /// The first failed attempt since the last success.
    pub failing_since: Option<OffsetDateTime>,
    /// The last success, exact to some seconds.
    pub last_success_at: Option<OffsetDateTime>,
    /// Since when its receiver counts as dead, so that little is sent to it; `None` while its circuit is closed.
    pub circuit_opened_at: Option<OffsetDateTime>,
    /// When its receiver echoed a challenge; `None` again when the URL changes.
    pub verified_at: Option<OffsetDateTime>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When its settings or status changed last.
    pub updated_at: OffsetDateTime,
}
