//! What holds for every operation of its kind, added to the document after it was generated: the answers that any of
//! them may give with their headers and examples, and the bounds of parameters that many of them have.

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

/// What each tag gathers.
const TAGS: [(&str, &str); 6] = [
    ("auth", "Access tokens and API keys"),
    (
        "endpoints",
        "Where events go, how they are signed and retried",
    ),
    ("events", "Publishing, and what was published"),
    ("deliveries", "What became of it; replaying and canceling"),
    (
        "hooks",
        "The same endpoints and deliveries in other words: hooks and their requests",
    ),
    ("operations", "For whoever runs it"),
];

/// Statuses with the example of an error that they carry.
const ERRORS: [(&str, &str, &str); 11] = [
    (
        "400",
        "bad_idempotency_key",
        "Idempotency-Key must be 1 to 255 visible ASCII characters",
    ),
    ("401", "not_authenticated", "Not authenticated"),
    (
        "403",
        "insufficient_scope",
        "The credential lacks the scope webhooks:write",
    ),
    ("404", "not_found", "Endpoint not found"),
    ("408", "body_too_slow", "The body took too long to come"),
    (
        "409",
        "endpoint_disabled",
        "The endpoint is disabled or deleted",
    ),
    (
        "410",
        "payload_expired",
        "The payload was removed by retention",
    ),
    (
        "413",
        "body_too_large",
        "The body is larger than 1048576 bytes",
    ),
    (
        "415",
        "unsupported_media_type",
        "The body must be application/json, not encoded",
    ),
    ("429", "rate_limited", "Too many requests"),
    (
        "503",
        "unavailable",
        "The service can't reach its database now; try again",
    ),
];

/// Completes a generated document.
pub(super) fn complete(document: &mut Value) {
    let tags = TAGS.map(|(name, description)| json!({"name": name, "description": description}));
    document["tags"] = json!(tags);
    refuse_unknown_fields(document);
    let Some(Value::Object(paths)) = document.get_mut("paths") else {
        return;
    };
    for operation in paths
        .values_mut()
        .filter_map(Value::as_object_mut)
        .flat_map(Map::values_mut)
    {
        bound_parameters(operation);
        bound_batch(operation);
        complete_responses(operation);
    }
}

/// Bodies with fields that we do not know are refused; a form's are passed over (RFC 6749 section 3.2).
fn refuse_unknown_fields(document: &mut Value) {
    let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") else {
        return;
    };
    for (name, schema) in schemas {
        if name.ends_with("Body") && name != "ErrorBody" {
            schema["additionalProperties"] = json!(false);
        }
    }
}

/// The schema and the description of a parameter that means the same wherever it stands.
fn known_parameter(name: &str) -> Option<(Value, &'static str)> {
    let instant = json!({"type": "string", "format": "date-time"});
    let uuid = json!({"type": "string", "format": "uuid"});
    Some(match name {
        "limit" => (
            json!({"type": "integer", "minimum": 1, "maximum": 250, "default": 50}),
            "Items of a page at most",
        ),
        "cursor" => (
            json!({"type": "string"}),
            "`next_cursor` of the page before, or of its `Link`",
        ),
        "created_after" => (instant, "Made at this instant or later (RFC 3339)"),
        "created_before" => (instant, "Made before this instant (RFC 3339)"),
        "endpoint_id" => (uuid, "To this endpoint"),
        "replay_of" => (uuid, "Replays that were asked for of this delivery"),
        "http_status" => (
            json!({"type": "integer", "minimum": 100, "maximum": 999}),
            "Ended with this answer of the receiver",
        ),
        "status" => (
            json!({"type": "string",
                   "enum": ["pending", "delivering", "retrying", "delivered", "failed", "canceled", "skipped"]}),
            "Where the delivery stands",
        ),
        "event_type" => (json!({"type": "string", "maxLength": 128}), "Of this type"),
        "event_group" => (json!({"type": "string", "maxLength": 128}), "Of this group"),
        "Idempotency-Key" => (
            json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}),
            "A repeat with the same key gets the first answer, for 24 hours",
        ),
        _ => return None,
    })
}

fn bound_parameters(operation: &mut Value) {
    let Some(Value::Array(parameters)) = operation.get_mut("parameters") else {
        return;
    };
    for parameter in parameters {
        // Paths take any text: what is no id is 404.
        if parameter["in"] == "path" {
            continue;
        }
        let known = parameter["name"].as_str().and_then(known_parameter);
        if let Some((schema, description)) = known {
            parameter["schema"] = schema;
            parameter["description"] = json!(description);
        }
    }
}

fn bound_batch(operation: &mut Value) {
    if let Some(schema) = operation.pointer_mut("/requestBody/content/application~1json/schema")
        && schema["type"] == "array"
    {
        schema["minItems"] = json!(1);
        schema["maxItems"] = json!(1_000);
    }
}

/// What an operation is like, as far as its answers depend on that.
struct Kind {
    needs_credentials: bool,
    has_body: bool,
    is_keyed: bool,
    can_wait: bool,
    is_paged: bool,
}

impl Kind {
    fn of(operation: &Value) -> Self {
        let has_parameter = |name: &str| {
            operation["parameters"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one["name"] == name))
        };
        Self {
            needs_credentials: operation.get("security").is_none(),
            has_body: operation.get("requestBody").is_some(),
            is_keyed: has_parameter("Idempotency-Key"),
            can_wait: has_parameter("Prefer"),
            is_paged: has_parameter("cursor"),
        }
    }

    /// The errors that any operation of the kind may answer.
    fn errors(&self) -> Vec<&'static str> {
        let mut errors = Vec::new();
        if self.needs_credentials {
            errors.extend(["401", "403", "429", "503"]);
        }
        if self.has_body {
            errors.extend(["408", "413"]);
        }
        if self.needs_credentials && self.has_body {
            errors.push("415");
        }
        if self.is_keyed {
            errors.push("400");
        }
        errors
    }

    /// The headers of an answer, with what they say.
    fn headers(&self, status: &str, response: &Value) -> Vec<(&'static str, &'static str)> {
        let mut headers = vec![(
            "X-Request-Id",
            "The request's, if it sent a sane one, else ours",
        )];
        let is_bare_list = response
            .pointer("/content/application~1json/schema/type")
            .is_some_and(|kind| kind == "array");
        match status {
            "401" | "403" => headers.push(("WWW-Authenticate", "RFC 6750")),
            "429" | "503" => headers.push(("Retry-After", "Seconds to wait")),
            "200" if self.is_paged && is_bare_list => {
                headers.push(("Link", "The next page, where there is more (RFC 8288)"));
            }
            "200" if self.can_wait => {
                headers.push(("Preference-Applied", "`wait=N`, if it was preferred"));
            }
            _ => {}
        }
        headers
    }
}

/// Gives every operation the answers that any of its kind may give, and every response its description, which OpenAPI
/// requires, its headers and an example.
fn complete_responses(operation: &mut Value) {
    let kind = Kind::of(operation);
    let Some(Value::Object(responses)) = operation.get_mut("responses") else {
        return;
    };
    let of_schema = |schema: &str| json!({"application/json": {"schema": {"$ref": schema}}});
    for status in kind.errors() {
        responses
            .entry(status)
            .or_insert_with(|| json!({"content": of_schema(ERROR_SCHEMA)}));
    }
    if kind.is_paged {
        let content = of_schema(FAULTS_SCHEMA);
        responses
            .entry("422")
            .or_insert_with(|| json!({"description": "Validation Error", "content": content}));
    }
    for (status, response) in responses {
        describe(status, response);
        for (name, description) in kind.headers(status, response) {
            response["headers"][name] =
                json!({"description": description, "schema": {"type": "string"}});
        }
    }
}

const ERROR_SCHEMA: &str = "#/components/schemas/ErrorBody";
const FAULTS_SCHEMA: &str = "#/components/schemas/HTTPValidationError";

/// Its reason phrase and an example, where it has none of its own.
fn describe(status: &str, response: &mut Value) {
    let is_described = response["description"]
        .as_str()
        .is_some_and(|text| !text.is_empty());
    if !is_described {
        let known = StatusCode::from_bytes(status.as_bytes()).ok();
        let reason = known.and_then(|status| status.canonical_reason());
        response["description"] = json!(reason.unwrap_or("Response"));
    }
    let example = ERRORS.iter().find(|(one, ..)| *one == status);
    if let (Some((_, code, detail)), Some(content)) =
        (example, response.pointer_mut("/content/application~1json"))
        && content["schema"]["$ref"] == ERROR_SCHEMA
    {
        content["example"] = json!({"detail": detail, "code": code});
    }
}
