//! The OpenAPI document, generated from the handlers, and the page that shows it.

mod completion;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use reprise_core::scope::Scope;
use serde_json::{Map, Value, json};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Flow, OAuth2, Password, Scopes, SecurityScheme,
};
use utoipa::{Modify, OpenApi};

use crate::auth::API_KEY_HEADER;
use crate::error::ApiError;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Reprise",
        description = "Webhook delivery and redelivery. Errors but 422 are `{detail, code}`; an id that is unknown, \
                       malformed or another tenant's is 404.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        crate::auth::login::create_token,
        crate::api_keys::create,
        crate::api_keys::list,
        crate::api_keys::revoke,
        crate::endpoints::create,
        crate::endpoints::list,
        crate::endpoints::get,
        crate::endpoints::update,
        crate::endpoints::delete,
        crate::endpoints::rotation::rotate,
        crate::endpoints::trial::test,
        crate::endpoints::trial::verify,
        crate::events::publish,
        crate::events::publish_batch,
        crate::events::reading::list,
        crate::events::reading::get,
        crate::events::reading::list_deliveries,
        crate::deliveries::list,
        crate::deliveries::get,
        crate::deliveries::list_attempts,
        crate::deliveries::cancel,
        crate::replays::replay,
        crate::hooks::list,
        crate::hooks::create,
        crate::hooks::get,
        crate::hooks::put,
        crate::hooks::update,
        crate::hooks::delete,
        crate::hooks::requests::list,
        crate::hooks::redelivery::redeliver,
        crate::health::live,
        crate::health::ready,
        crate::metrics::show,
    ),
    components(schemas(
        crate::error::ErrorBody,
        crate::error::ValidationBody,
        crate::faults::Fault,
    )),
    modifiers(&Credentials),
    security(("OAuth2PasswordBearer" = []), ("APIKeyHeader" = []))
)]
struct Document;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scopes = Scopes::from_iter(Scope::ALL.map(|scope| (scope.as_str(), scope.meaning())));
        let password = Flow::Password(Password::new("/v1/auth/token", scopes));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "OAuth2PasswordBearer",
            SecurityScheme::OAuth2(OAuth2::new([password])),
        );
        let key = ApiKey::Header(ApiKeyValue::new(API_KEY_HEADER));
        components.add_security_scheme("APIKeyHeader", SecurityScheme::ApiKey(key));
    }
}

/// The document, with schemas written as FastAPI writes them, so that A's are A's to the letter.
///
/// # Errors
///
/// When the document can't be written as JSON.
pub fn document() -> Result<Value, serde_json::Error> {
    let mut document = serde_json::to_value(Document::openapi())?;
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        for (name, schema) in schemas {
            title_fields(name, schema);
        }
    }
    completion::complete(&mut document);
    Ok(document)
}

/// Gives a schema its name, and each of its fields a title, as FastAPI does; a field that may be null is an `anyOf`.
fn title_fields(name: &str, schema: &mut Value) {
    let Value::Object(schema) = schema else {
        return;
    };
    schema.entry("title").or_insert_with(|| Value::from(name));
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        return;
    };
    for (field, property) in properties {
        let Value::Object(property) = property else {
            continue;
        };
        if property.get("type") == Some(&Value::from("integer"))
            || property.get("type") == Some(&json!(["integer", "null"]))
        {
            property.remove("format");
            property.remove("minimum");
        }
        split_null(property);
        let title = property
            .remove("title")
            .unwrap_or_else(|| Value::from(title_of(field)));
        property.insert("title".to_owned(), title);
    }
}

/// `type: [x, null]` as `anyOf`.
fn split_null(property: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = property.get("type") else {
        return;
    };
    let Some(one) = types.iter().find(|one| *one != "null").cloned() else {
        return;
    };
    let mut typed = Map::from_iter([("type".to_owned(), one)]);
    for key in ["format", "items", "additionalProperties", "propertyNames"] {
        if let Some(value) = property.remove(key) {
            typed.insert(key.to_owned(), value);
        }
    }
    property.remove("type");
    property.insert("anyOf".to_owned(), json!([typed, {"type": "null"}]));
}

/// `next_retry_at` as `Next Retry At`.
fn title_of(field: &str) -> String {
    let words: Vec<String> = field
        .split('_')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| {
                first.to_uppercase().chain(letters).collect()
            })
        })
        .collect();
    words.join(" ")
}

/// `GET /openapi.json`.
///
/// # Errors
///
/// [`ApiError::Internal`] when the document can't be written as JSON.
pub async fn json() -> Result<HttpResponse, ApiError> {
    static DOCUMENT: LazyLock<Result<Value, String>> =
        LazyLock::new(|| document().map_err(|error| error.to_string()));
    match &*DOCUMENT {
        Ok(document) => Ok(HttpResponse::Ok().json(document)),
        Err(error) => Err(ApiError::Internal(error.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(name: &str) -> Value {
        document().unwrap()["components"]["schemas"][name].clone()
    }

    fn nullable(kind: &Value, title: &str) -> Value {
        json!({"anyOf": [kind, {"type": "null"}], "title": title})
    }

    #[test]
    fn the_delivery_is_schema_a() {
        let text = json!({"type": "string"});
        let instant = json!({"type": "string", "format": "date-time"});
        let mut properties = schema("WebhookDeliveryResponse")["properties"].clone();
        properties.as_object_mut().unwrap().remove("attempt_count");
        let expected = json!({
            "id": {"type": "string", "title": "Id"},
            "endpoint_id": {"type": "string", "title": "Endpoint Id"},
            "user_id": {"type": "integer", "title": "User Id"},
            "event_id": nullable(&text, "Event Id"),
            "event_type": {"type": "string", "title": "Event Type"},
            "event_group": nullable(&text, "Event Group"),
            "status": {"type": "string", "title": "Status"},
            "scheduled_attempt": {"type": "integer", "title": "Scheduled Attempt"},
            "next_retry_at": nullable(&instant, "Next Retry At"),
            "last_attempt_at": nullable(&instant, "Last Attempt At"),
            "delivered_at": nullable(&instant, "Delivered At"),
            "final_http_status": nullable(&json!({"type": "integer"}), "Final Http Status"),
            "error_message": nullable(&text, "Error Message"),
            "replay_of_delivery_id": nullable(&text, "Replay Of Delivery Id"),
            "created_at": {"type": "string", "format": "date-time", "title": "Created At"},
            "updated_at": {"type": "string", "format": "date-time", "title": "Updated At"},
        });
        assert_eq!(properties, expected);
        assert_eq!(
            schema("WebhookDeliveryResponse")["required"],
            json!([
                "id",
                "endpoint_id",
                "user_id",
                "event_type",
                "status",
                "scheduled_attempt",
                "created_at",
                "updated_at"
            ])
        );
    }

    #[test]
    fn the_faults_are_schema_a() {
        let without_notes = |name| {
            let mut schema = schema(name);
            schema.as_object_mut().unwrap().remove("description");
            for (_, property) in schema["properties"].as_object_mut().unwrap() {
                property.as_object_mut().unwrap().remove("description");
            }
            schema
        };
        let fault = json!({
            "properties": {
                "loc": {
                    "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                    "type": "array",
                    "title": "Location",
                },
                "msg": {"type": "string", "title": "Message"},
                "type": {"type": "string", "title": "Error Type"},
            },
            "type": "object",
            "required": ["loc", "msg", "type"],
            "title": "ValidationError",
        });
        assert_eq!(without_notes("ValidationError"), fault);
        let faults = json!({
            "properties": {
                "detail": {"items": {"$ref": "#/components/schemas/ValidationError"}, "type": "array", "title": "Detail"},
            },
            "type": "object",
            "title": "HTTPValidationError",
        });
        assert_eq!(without_notes("HTTPValidationError"), faults);
    }

    #[test]
    fn every_response_is_described_and_credentials_are_asked_for() {
        let document = document().unwrap();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let responses = operation["responses"].as_object().unwrap();
                assert!(
                    responses.values().all(|one| one["description"] != ""),
                    "{method} {path}"
                );
                assert!(
                    responses.values().all(|one| one["description"].is_string()),
                    "{method} {path}"
                );
                let is_open = operation.get("security").is_some();
                assert_eq!(responses.contains_key("403"), !is_open, "{method} {path}");
            }
        }
    }

    #[test]
    fn the_replay_operation_is_there_with_its_key_header() {
        let operation =
            document().unwrap()["paths"]["/v1/webhooks/deliveries/{delivery_id}/replay"]["post"]
                .clone();
        assert_eq!(operation["summary"], "Replay Webhook Delivery");
        let parameters = operation["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|one| one["name"] == "X-API-Key"
            && one["in"] == "header"
            && one["required"] == false));
        let answer =
            &operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(answer, "#/components/schemas/WebhookDeliveryResponse");
        let fault = &operation["responses"]["422"]["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(fault, "#/components/schemas/HTTPValidationError");
    }

    /// The document as it was last reviewed.
    const REVIEWED: &str = include_str!("../openapi.json");

    #[test]
    fn the_document_is_the_reviewed_one() {
        let reviewed: Value = serde_json::from_str(REVIEWED).unwrap();
        assert!(
            document().unwrap() == reviewed,
            "the API has changed: look at the difference that `make openapi` makes, and commit it"
        );
    }
}
