//! What a caller may say of a new API key.

use reprise_core::display_name::DisplayName;
use reprise_core::scope::{Scope, Scopes};
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, SchemaType, Type};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::faults::{Faults, Field, Fields};
use crate::openapi::words;

/// The schema of scopes.
fn scopes_schema() -> Array {
    ArrayBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
        .items(words::<Scope>())
        .min_items(Some(1))
        .max_items(Some(Scope::ALL.len()))
        .description(Some("What it may do; default: all that the caller may."))
        .build()
}

/// A new API key.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body; it is read field by field")]
pub struct ApiKeyBody {
    /// For people: 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What it may do, at least one scope; default: all that the caller may.
    #[schema(schema_with = scopes_schema, required = false)]
    scopes: Option<Vec<String>>,
    /// When it ends by itself: RFC 3339, in the future; default: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<String>,
}

/// A body that has been read.
pub(super) struct ApiKeyDraft {
    pub(super) name: DisplayName,
    scopes: Option<Scopes>,
    pub(super) expires_at: Option<OffsetDateTime>,
}

impl ApiKeyDraft {
    /// Reads a body; `now` is what `expires_at` must lie beyond.
    pub(super) fn read(body: &[u8], now: OffsetDateTime) -> Result<Self, Faults> {
        let faults = Faults::default();
        let mut fields = Fields::from_body(body, &faults)?;
        let name = fields.required("name", |field| field.parse(DisplayName::parse));
        let scopes = fields.optional("scopes", |field| {
            field.list(1..=Scope::ALL.len(), |item| item.one_of(&Scope::ALL))
        });
        let expires_at = fields.optional("expires_at", |field| read_expiry(field, now));
        fields.finish();
        faults.unless(name.map(|name| Self {
            name,
            scopes: scopes.map(Scopes::from_iter),
            expires_at,
        }))
    }

    /// The scopes of the key: nobody makes a key that may do more than they may themselves.
    pub(super) fn scopes_within(&self, caller: &Caller) -> Result<Scopes, ApiError> {
        let Some(scopes) = &self.scopes else {
            return Ok(caller.scopes.clone());
        };
        for scope in scopes.iter() {
            caller.require(scope)?;
        }
        Ok(scopes.clone())
    }
}

fn read_expiry(field: Field, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let here = field.clone();
    let instant = field.instant()?;
    if instant > now {
        Some(instant)
    } else {
        here.value_error("must be in the future")
    }
}
