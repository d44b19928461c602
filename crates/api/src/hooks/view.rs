//! A hook as B's family shows it.

use reprise_core::endpoint::{Endpoint, EndpointStatus};
use reprise_core::hook_events;
use serde::Serialize;
use utoipa::ToSchema;

use crate::shown_secret::ShownSecret;
use crate::timestamp::MillisecondTimestamp;

/// Where a hook's requests go, and with what.
#[derive(Debug, Serialize, ToSchema)]
pub struct HookConfig {
    #[schema(value_type = String)]
    url: ShownSecret,
    /// Masked, but in the answer to making the hook.
    #[schema(value_type = String)]
    secret: ShownSecret,
    /// A header sent besides ours, `Name: value`; the first one, if it has several.
    #[schema(value_type = Option<String>)]
    header: Option<ShownSecret>,
}

/// A hook.
#[derive(Debug, Serialize, ToSchema)]
pub struct HookResponse {
    id: String,
    /// Whether it gets anything.
    active: bool,
    /// Whether its receiver has echoed a challenge.
    confirmed: bool,
    /// `subject` (itself and everything below it), `subject:action`, `subject.*` (everything below it) or `*`.
    events: Vec<String>,
    config: HookConfig,
    /// The user who made it.
    owner_id: i64,
    tenant_id: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: MillisecondTimestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: MillisecondTimestamp,
}

impl HookResponse {
    /// With its secret masked.
    pub(super) fn masked(endpoint: &Endpoint) -> Self {
        Self::new(endpoint, endpoint.settings.secrets.current().hint())
    }

    /// With its secret: once, to its maker.
    pub(super) fn with_secret(endpoint: &Endpoint) -> Self {
        let secret = endpoint.settings.secrets.current();
        Self::new(endpoint, secret.expose().to_owned())
    }

    fn new(endpoint: &Endpoint, secret: String) -> Self {
        let settings = &endpoint.settings;
        let header = settings.custom_headers.iter().next();
        Self {
            id: endpoint.id.to_string(),
            active: endpoint.status == EndpointStatus::Enabled,
            confirmed: endpoint.verified_at.is_some(),
            events: hook_events::show(&settings.event_patterns),
            config: HookConfig {
                url: ShownSecret::new(settings.url.as_str()),
                secret: ShownSecret::new(secret),
                header: header
                    .map(|(name, value)| ShownSecret::new(format!("{name}: {}", value.expose()))),
            },
            owner_id: endpoint.owner.0,
            tenant_id: endpoint.tenant_id.to_string(),
            created_at: MillisecondTimestamp(endpoint.created_at),
            updated_at: MillisecondTimestamp(endpoint.updated_at),
        }
    }
}
