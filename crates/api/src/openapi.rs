//! The OpenAPI document, generated from the handlers, and the page that shows it.

mod errors;
mod examples;
mod operations;
mod responses;
mod schemas;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use reprise_core::scope::Scope;
use serde_json::Value;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Flow, OAuth2, Password, Scopes, SecurityScheme,
};
use utoipa::{Modify, OpenApi};

use crate::auth::API_KEY_HEADER;
use crate::error::ApiError;
use examples::Examples;

pub use schemas::{optional_words, words};

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
        json,
        crate::docs::lead,
    ),
    components(schemas(
        crate::auth::login::TokenError,
        crate::auth::login::TokenValidationError,
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
    schemas::complete(&mut document);
    operations::complete(&mut document, &Examples::read()?);
    Ok(document)
}

/// This document.
///
/// # Errors
///
/// [`ApiError::Internal`] when the document can't be written as JSON.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", operation_id = "openapi", security(()),
    responses((status = 200, body = Object)))]
pub async fn json() -> Result<HttpResponse, ApiError> {
    static DOCUMENT: LazyLock<Result<Value, String>> =
        LazyLock::new(|| document().map_err(|error| error.to_string()));
    match &*DOCUMENT {
        Ok(document) => Ok(HttpResponse::Ok().json(document)),
        Err(error) => Err(ApiError::Internal(error.clone())),
    }
}

#[cfg(test)]
mod tests;
