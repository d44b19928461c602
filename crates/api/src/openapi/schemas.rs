//! Schemas, written as FastAPI writes them, so that A's are A's to the letter.

use reprise_core::attempt_outcome::{ErrorKind, FailureKind};
use reprise_core::endpoint::EndpointStatus;
use reprise_core::scope::Scope;
use reprise_core::signing::{SchemeName, SignatureAlgorithm};
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

/// A type whose values are a few words.
pub trait Words {
    /// What they say, for the document.
    const MEANING: &str;

    /// All of them.
    fn all() -> Vec<&'static str>;
}

impl Words for SchemeName {
    const MEANING: &str = "What is signed, and how it is written; by default `standard`.";

    fn all() -> Vec<&'static str> {
        Self::ALL.map(Self::as_str).to_vec()
    }
}

impl Words for SignatureAlgorithm {
    const MEANING: &str = "By default `hmac-sha256`; `ed25519` only with `standard`.";

    fn all() -> Vec<&'static str> {
        Self::ALL.map(Self::as_str).to_vec()
    }
}

impl Words for Scope {
    const MEANING: &str = "What a credential may do.";

    fn all() -> Vec<&'static str> {
        Self::ALL.map(Self::as_str).to_vec()
    }
}

impl Words for ErrorKind {
    const MEANING: &str =
        "Why an attempt did not deliver; `lost` where a dispatcher died over it. Null on success.";

    fn all() -> Vec<&'static str> {
        let failures = FailureKind::ALL.map(FailureKind::as_str);
        let status = Self::HttpStatus.as_str();
        [status].into_iter().chain(failures).collect()
    }
}

impl Words for EndpointStatus {
    const MEANING: &str = "Whether it receives anything.";

    fn all() -> Vec<&'static str> {
        let reason = String::new();
        let all = [Self::Enabled, Self::Disabled { reason }, Self::Deleted];
        all.iter().map(Self::as_str).collect()
    }
}

/// The schema of one of a type's words.
pub fn words<T: Words>() -> Object {
    schema::<T>(Type::String.into())
}

/// The same, or null.
pub fn optional_words<T: Words>() -> Object {
    schema::<T>(SchemaType::from_iter([Type::String, Type::Null]))
}

fn schema<T: Words>(kind: SchemaType) -> Object {
    ObjectBuilder::new()
        .schema_type(kind)
        .enum_values(Some(T::all()))
        .description(Some(T::MEANING))
        .build()
}

/// Completes the schemas of a generated document.
pub(super) fn complete(document: &mut Value) {
    let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") else {
        return;
    };
    for (name, schema) in schemas {
        title_fields(name, schema);
        // Bodies with fields that we do not know are refused; a form's are passed over (RFC 6749 section 3.2).
        if name.ends_with("Body") && name != "ErrorBody" {
            schema["additionalProperties"] = json!(false);
        }
    }
}

/// Gives a schema its name, and each of its fields a title, as FastAPI does; a field that may be null is an `anyOf`.
fn title_fields(name: &str, schema: &mut Value) {
    let Value::Object(schema) = schema else {
        return;
    };
    schema.entry("title").or_insert_with(|| Value::from(name));
    // Of a schema that is another with fields besides, each part has fields.
    if let Some(Value::Array(parts)) = schema.get_mut("allOf") {
        for part in parts.iter_mut().filter_map(Value::as_object_mut) {
            complete_fields(part);
        }
    }
    complete_fields(schema);
}

fn complete_fields(schema: &mut Map<String, Value>) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        return;
    };
    for (field, property) in properties {
        let Value::Object(property) = property else {
            continue;
        };
        drop_bounds_of_the_type(property);
        split_null(property);
        let title = property
            .remove("title")
            .unwrap_or_else(|| Value::from(title_of(field)));
        property.insert("title".to_owned(), title);
    }
}

/// Takes out what is said of an integer only since it is a `u32`, say: its format, and that it is not negative.
fn drop_bounds_of_the_type(property: &mut Map<String, Value>) {
    let kind = property.get("type");
    if kind != Some(&json!("integer")) && kind != Some(&json!(["integer", "null"])) {
        return;
    }
    property.remove("format");
    if !property.contains_key("maximum") {
        property.remove("minimum");
    }
}

/// What says something of the value and not of the field: it goes with the type.
const OF_THE_VALUE: [&str; 14] = [
    "additionalProperties",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "pattern",
    "propertyNames",
];

/// `type: [x, null]` as `anyOf`.
fn split_null(property: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = property.get("type") else {
        return;
    };
    let Some(one) = types.iter().find(|one| *one != "null").cloned() else {
        return;
    };
    let mut typed = Map::from_iter([("type".to_owned(), one)]);
    for key in OF_THE_VALUE {
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
