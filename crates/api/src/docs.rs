//! `GET /docs`: Swagger UI, out of the binary, so that it works without a network.

use std::sync::{Arc, LazyLock};

use actix_web::HttpResponse;
use actix_web::http::header::{self, ContentEncoding};
use actix_web::web::Path;
use utoipa_swagger_ui::{Config, serve};

use crate::error::ApiError;

/// What the page reads.
const DOCUMENT: &str = "/openapi.json";

/// Leads to the page, whose links are relative to `/docs/`.
#[utoipa::path(get, path = "/docs", tag = "operations", operation_id = "docs", security(()),
    responses((status = 307, description = "To the page at `/docs/`")))]
pub async fn lead() -> HttpResponse {
    HttpResponse::TemporaryRedirect()
        .insert_header((header::LOCATION, "/docs/"))
        .finish()
}

/// The page.
///
/// # Errors
///
/// [`ApiError::Internal`] when it is not in the binary.
pub async fn page() -> Result<HttpResponse, ApiError> {
    show("index.html")
}

/// A file that the page loads.
///
/// # Errors
///
/// [`ApiError::UnknownPath`] when there is none of that name.
pub async fn file(name: Path<String>) -> Result<HttpResponse, ApiError> {
    show(&name)
}

fn show(name: &str) -> Result<HttpResponse, ApiError> {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
        // Unless told not to, Swagger UI shows the document to a validator of its makers.
        Arc::new(Config::from(DOCUMENT).validator_url("none"))
    });
    let found =
        serve(name, Arc::clone(&CONFIG)).map_err(|error| ApiError::Internal(error.to_string()))?;
    let file = found.ok_or(ApiError::UnknownPath)?;
    let mut response = HttpResponse::Ok();
    if file.gzpipped {
        response.insert_header(ContentEncoding::Gzip);
    }
    Ok(response
        .content_type(file.content_type)
        .body(file.bytes.to_vec()))
}
