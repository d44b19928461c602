//! An API key as the API shows it.

use reprise_core::store::api_keys::ListedApiKey;
use serde::Serialize;
use utoipa::ToSchema;

use crate::shown_secret::ShownSecret;
use crate::timestamp::Timestamp;

/// An API key, without what it opens.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyResponse {
    id: String,
    /// The user whose key it is.
    user_id: i64,
    name: String,
    /// The key's beginning, which is no secret, to tell it from another.
    prefix: String,
    /// What it may do, as far as its user may.
    scopes: Vec<&'static str>,
    /// When it ends by itself; null: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// Its last use, exact to a minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// An API key with its text, which is shown only once.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyWithSecret {
    /// The key.
    #[serde(flatten)]
    key: ApiKeyResponse,
    /// What to send as `X-API-Key`.
    #[schema(value_type = String)]
    api_key: ShownSecret,
}

/// A page of API keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyList {
    /// Newest first.
    pub items: Vec<ApiKeyResponse>,
    /// Leads to the next page; null on the last one.
    pub next_cursor: Option<String>,
}

impl From<&ListedApiKey> for ApiKeyResponse {
    fn from(key: &ListedApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            user_id: key.user_id.0,
            name: key.name.clone(),
            prefix: key.prefix.clone(),
            scopes: key.scopes.iter().map(|scope| scope.as_str()).collect(),
            expires_at: key.expires_at.map(Timestamp),
            last_used_at: key.last_used_at.map(Timestamp),
            created_at: Timestamp(key.created_at),
        }
    }
}

impl ApiKeyWithSecret {
    /// The answer to its maker.
    pub(super) fn new(key: &ListedApiKey, text: String) -> Self {
        Self {
            key: key.into(),
            api_key: ShownSecret::new(text),
        }
    }
}
