//! The answers of an operation: their errors, descriptions, headers and examples.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use super::errors;
use super::examples::Examples;
use super::operations::Kind;

const FAULTS: &str = "HTTPValidationError";

/// Gives an operation the answers that any of its kind may give, and every answer its description, which OpenAPI
/// requires, its headers and an example.
pub(super) fn complete(kind: &Kind, operation: &mut Value, examples: &Examples) {
    let responses = &mut operation["responses"];
    for error in errors::of(kind) {
        let content = content_of(responses, &error.status, error.schema);
        content["examples"][error.code] = json!({"value": error.example});
    }
    if kind.takes_json || kind.has("cursor") {
        content_of(responses, "422", FAULTS);
        responses["422"]["description"] = json!("Validation Error");
    }
    for (status, response) in responses.as_object_mut().into_iter().flatten() {
        describe(status, response);
        for (name, description) in headers(kind, status, response) {
            response["headers"][name] =
                json!({"description": description, "schema": {"type": "string"}});
        }
        if let Some(content) = response.pointer_mut("/content/application~1json") {
            examples.give(content);
        }
    }
}

/// The JSON of an answer, of this schema where it has none.
fn content_of<'a>(responses: &'a mut Value, status: &str, schema: &str) -> &'a mut Value {
    let content = &mut responses[status]["content"]["application/json"];
    if content["schema"].is_null() {
        content["schema"] = json!({"$ref": format!("#/components/schemas/{schema}")});
    }
    content
}

/// Gives an answer its reason phrase, where nothing else is said of it.
fn describe(status: &str, response: &mut Value) {
    let is_described = response["description"]
        .as_str()
        .is_some_and(|text| !text.is_empty());
    if !is_described {
        let known = StatusCode::from_bytes(status.as_bytes()).ok();
        let reason = known.and_then(|status| status.canonical_reason());
        response["description"] = json!(reason.unwrap_or("Response"));
    }
}

/// The headers of an answer, with what they say.
fn headers(kind: &Kind, status: &str, response: &Value) -> Vec<(&'static str, &'static str)> {
    let mut headers = vec![(
        "X-Request-Id",
        "The request's, if it sent a sane one, else ours",
    )];
    let is_bare_list = response
        .pointer("/content/application~1json/schema/type")
        .is_some_and(|kind| kind == "array");
    match status {
        "307" => headers.push(("Location", "The page")),
        "401" | "403" => headers.push(("WWW-Authenticate", "RFC 6750")),
        "429" | "503" => headers.push(("Retry-After", "Seconds to wait")),
        "200" if kind.has("cursor") && is_bare_list => {
            headers.push(("Link", "The next page, where there is more (RFC 8288)"));
        }
        "200" if kind.has("Prefer") => {
            headers.push(("Preference-Applied", "`wait=N`, if it was preferred"));
        }
        _ => {}
    }
    if kind.id == "create_token" {
        headers.push(("Cache-Control", "`no-store`"));
    }
    headers
}
