//! The OpenAPI document, generated from the handlers, and the page that shows it.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Flow, OAuth2, Password, Scopes, SecurityScheme,
};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::auth::API_KEY_HEADER;
use reprise_core::scope::Scope;

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
        crate::endpoints::create,
        crate::endpoints::list,
        crate::endpoints::get,
        crate::endpoints::update,
        crate::endpoints::delete,
        crate::events::publish,
        crate::deliveries::list,
        crate::deliveries::get,
        crate::deliveries::list_attempts,
        crate::replays::replay,
        crate::hooks::redeliver,
        crate::health::live,
        crate::health::ready,
    ),
    components(schemas(
        crate::error::ErrorBody,
        crate::error::ValidationBody,
        crate::faults::Fault,
        crate::faults::Step,
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

/// The document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// `GET /openapi.json`.
pub async fn json() -> HttpResponse {
    static DOCUMENT: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(document);
    HttpResponse::Ok().json(&*DOCUMENT)
}

/// `GET /docs/`: Swagger UI, out of the binary, so that it works without a network.
#[must_use]
pub fn docs() -> SwaggerUi {
    SwaggerUi::new("/docs/{_:.*}").config(Config::from("/openapi.json"))
}
