//! What a caller may say of an endpoint, as the OpenAPI document describes it; it is read in [`body`](super::body).

use std::collections::BTreeMap;

use reprise_core::custom_headers::MAX_HEADERS;
use reprise_core::signing::{SchemeName, SignatureAlgorithm};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

use crate::openapi::optional_words;

/// The schema of headers.
fn headers_schema() -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .additional_properties(Some(ObjectBuilder::new().schema_type(Type::String)))
        .max_properties(Some(MAX_HEADERS))
        .description(Some(
            "Headers sent besides ours; a change replaces all that were there; null: none.",
        ))
        .build()
}

/// How requests are signed. `null` is a field's default.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body; it is read field by field")]
pub struct SignatureBody {
    /// Default: `standard`.
    #[schema(schema_with = optional_words::<SchemeName>, required = false)]
    scheme: Option<String>,
    /// The header that carries the signature, default `X-Signature`; not with `standard`.
    #[schema(min_length = 1, max_length = 128)]
    header: Option<String>,
    /// What precedes the signature: visible ASCII, default nothing; only with `body`.
    #[schema(max_length = 32)]
    prefix: Option<String>,
    /// Default: `hmac-sha256`; `ed25519` only with `standard`.
    #[schema(schema_with = optional_words::<SignatureAlgorithm>, required = false)]
    algorithm: Option<String>,
}

/// A new endpoint.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body; it is read field by field")]
pub struct EndpointBody {
    /// Where requests go: `https://` (or `http://`, where the operator allows it), a public host, and no port of a
    /// service that receives no webhooks.
    url: String,
    /// A note for people.
    #[schema(max_length = 1_000)]
    description: Option<String>,
    /// A type, `prefix.*` or `*`; default `["*"]`.
    #[schema(min_items = 1, max_items = 100)]
    event_patterns: Option<Vec<String>>,
    /// One deadline for an attempt; null: 15.
    #[schema(minimum = 1, maximum = 60, default = 15)]
    timeout_seconds: Option<i32>,
    /// Retries after the first attempt; default: the schedule's length.
    #[schema(minimum = 0, maximum = 50)]
    max_retries: Option<i32>,
    /// Headers sent besides ours.
    #[schema(schema_with = headers_schema, required = false)]
    headers: Option<BTreeMap<String, String>>,
    /// The signing secret, made by us if it is not given: `whsec_` and base64 of 24 to 64 bytes; with `ed25519` `whsk_`
    /// and base64 of a seed, or of a seed and its public key; with `timestamped` and `body` 1 to 256 visible ASCII
    /// characters.
    #[schema(max_length = 256)]
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
    #[schema(schema_with = super::view::optional_schedule_schema, required = false)]
    retry_schedule: Option<Value>,
}

/// Changes to an endpoint. `null` resets a field to what it is by default, where it has a default that says nothing of
/// its own; it is refused of `url`, `event_patterns`, `secret` and `enabled`.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body; it is read field by field")]
pub struct EndpointPatchBody {
    /// Where requests go: `https://` (or `http://`, where the operator allows it), a public host, and no port of a
    /// service that receives no webhooks.
    #[schema(value_type = String, required = false)]
    url: Option<String>,
    /// A note for people; null: none.
    #[schema(max_length = 1_000)]
    description: Option<String>,
    /// A type, `prefix.*` or `*`.
    #[schema(value_type = Vec<String>, required = false, min_items = 1, max_items = 100)]
    event_patterns: Option<Vec<String>>,
    /// One deadline for an attempt; null: 15.
    #[schema(minimum = 1, maximum = 60)]
    timeout_seconds: Option<i32>,
    /// Retries after the first attempt; null: the schedule's length.
    #[schema(minimum = 0, maximum = 50)]
    max_retries: Option<i32>,
    /// Headers sent besides ours; replaces all that were there; null: none.
    #[schema(schema_with = headers_schema, required = false)]
    headers: Option<BTreeMap<String, String>>,
    /// Another signing secret, at once; one that overlaps with the old one: `rotate-secret`.
    #[schema(value_type = String, required = false, max_length = 256)]
    secret: Option<String>,
    /// How requests are signed; null: `standard`. Another scheme ends a rotation's overlap.
    signature: Option<SignatureBody>,
    /// Attempts begun in a second at most, over all dispatchers; null: any number.
    #[schema(minimum = 1, maximum = 10_000)]
    rate_limit_per_second: Option<i32>,
    /// Attempts under way at once at most, over all dispatchers; null: any number.
    #[schema(minimum = 1, maximum = 1_000)]
    max_in_flight: Option<i32>,
    /// Delays in seconds, or `"exponential"`; null: the default schedule.
    #[schema(schema_with = super::view::optional_schedule_schema, required = false)]
    retry_schedule: Option<Value>,
    /// Whether it receives anything.
    #[schema(value_type = bool, required = false)]
    enabled: Option<bool>,
}
