//! What holds for every operation of its kind, added to the document after it was generated: the scope that it needs,
//! the bounds of its parameters, and its answers.

use reprise_core::scope::Scope;
use serde_json::{Value, json};

use super::examples::Examples;
use super::responses;
use crate::auth::API_KEY_HEADER;

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

/// What an operation is like, as far as the document depends on that.
pub(super) struct Kind {
    /// Its `operationId`.
    pub(super) id: String,
    /// What a credential must allow; none where none is needed.
    pub(super) scope: Option<Scope>,
    /// Whether it takes JSON.
    pub(super) takes_json: bool,
    /// Whether it reads a body, if only to pass over it.
    pub(super) reads_body: bool,
    /// The ids of its path.
    pub(super) ids: Vec<String>,
    parameters: Vec<String>,
}

impl Kind {
    fn of(path: &str, method: &str, operation: &Value) -> Self {
        let parameters = operation["parameters"].as_array();
        let names = |is_wanted: fn(&Value) -> bool| {
            let wanted = parameters
                .into_iter()
                .flatten()
                .filter(|one| is_wanted(one));
            let names = wanted.filter_map(|one| one["name"].as_str());
            names.map(str::to_owned).collect()
        };
        // `security(())`, of an operation for everybody.
        let is_open = operation["security"] == json!([{}]);
        Self {
            id: operation["operationId"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            scope: (!is_open).then(|| scope_of(path, method)),
            takes_json: operation
                .pointer("/requestBody/content/application~1json")
                .is_some(),
            reads_body: matches!(method, "post" | "put" | "patch"),
            ids: names(|one| one["in"] == "path"),
            parameters: names(|one| one["in"] != "path"),
        }
    }

    /// Whether it has a parameter of this name in its query or headers.
    pub(super) fn has(&self, parameter: &str) -> bool {
        self.parameters.iter().any(|one| one == parameter)
    }
}

/// The scope that an operation needs; tests hold it against what the handlers say.
fn scope_of(path: &str, method: &str) -> Scope {
    match (path, method) {
        ("/v1/webhooks/events" | "/v1/webhooks/events/batch", "post") => Scope::EventsWrite,
        (path, _) if path.starts_with("/v1/auth/") => Scope::Admin,
        (_, "get") => Scope::WebhooksRead,
        _ => Scope::WebhooksWrite,
    }
}

/// Completes the operations of a generated document.
pub(super) fn complete(document: &mut Value, examples: &Examples) {
    let tags = TAGS.map(|(name, description)| json!({"name": name, "description": description}));
    document["tags"] = json!(tags);
    let Some(Value::Object(paths)) = document.get_mut("paths") else {
        return;
    };
    for (path, operations) in paths {
        let operations = operations.as_object_mut().into_iter().flatten();
        for (method, operation) in operations {
            let kind = Kind::of(path, method, operation);
            ask_for_credentials(&kind, operation);
            bound_parameters(operation);
            complete_body(operation, examples);
            responses::complete(&kind, operation, examples);
        }
    }
}

/// Names the scope, and declares the API key as the header parameter that it is in A.
fn ask_for_credentials(kind: &Kind, operation: &mut Value) {
    let Some(scope) = kind.scope else {
        return;
    };
    operation["security"] =
        json!([{"OAuth2PasswordBearer": [scope.as_str()]}, {"APIKeyHeader": []}]);
    if !operation["parameters"].is_array() {
        operation["parameters"] = json!([]);
    }
    let Some(Value::Array(parameters)) = operation.get_mut("parameters") else {
        return;
    };
    let of_paths = parameters.iter().filter(|one| one["in"] == "path").count();
    let key = json!({
        "name": API_KEY_HEADER,
        "in": "header",
        "required": false,
        "schema": {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "X-Api-Key"},
    });
    parameters.insert(of_paths, key);
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
        "Prefer" => (
            json!({"type": "string", "example": "wait=10"}),
            "`wait=N`: wait up to N seconds for the attempt, at most 30 (RFC 7240)",
        ),
        "Idempotency-Key" => (
            json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}),
            "A repeat with the same key gets the first answer, for 24 hours",
        ),
        _ => return None,
    })
}

fn bound_parameters(operation: &mut Value) {
    let parameters = operation
        .get_mut("parameters")
        .and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
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

/// Gives a body its example, and a batch its bounds.
fn complete_body(operation: &mut Value, examples: &Examples) {
    let Some(Value::Object(contents)) = operation.pointer_mut("/requestBody/content") else {
        return;
    };
    for content in contents.values_mut() {
        examples.give(content);
        let schema = &mut content["schema"];
        if schema["type"] == "array" {
            schema["minItems"] = json!(1);
            schema["maxItems"] = json!(1_000);
        }
    }
}
