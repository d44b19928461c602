//! `/healthz` and `/readyz`: they read, and never write.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;
use reprise_core::store::partitions;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::state::AppState;

/// Partitions must last this long for the API to be ready. Both programs make them two weeks ahead, so that below
/// two days something has been wrong for twelve.
const MIN_PARTITIONS_AHEAD: time::Duration = time::Duration::days(2);

/// Whether the process is well.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthResponse {
    /// `ok`, or what is wrong.
    status: String,
}

/// Whether the process lives; says nothing of PostgreSQL, so that an outage there restarts nothing here.
#[utoipa::path(get, path = "/healthz", tag = "operations", operation_id = "healthz", security(()),
    responses((status = 200, body = HealthResponse)))]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(HealthResponse {
        status: "ok".to_owned(),
    })
}

/// Whether requests can be served: PostgreSQL answers, is migrated, and has room for days to come.
#[utoipa::path(get, path = "/readyz", tag = "operations", operation_id = "readyz", security(()),
    responses((status = 200, body = HealthResponse),
              (status = 503, body = HealthResponse, example = json!({"status": "PostgreSQL is not available"}))))]
pub async fn ready(state: Data<AppState>) -> HttpResponse {
    let remaining = state
        .with_connection(async |conn| partitions::remaining(conn).await)
        .await;
    let fault = match remaining {
        Ok(remaining) if remaining >= MIN_PARTITIONS_AHEAD => {
            return HttpResponse::Ok().json(HealthResponse {
                status: "ok".to_owned(),
            });
        }
        Ok(_) => "partitions end within two days; run `reprise-api migrate`".to_owned(),
        Err(ApiError::Unavailable(_)) => "PostgreSQL is not available".to_owned(),
        Err(error) => error.to_string(),
    };
    HttpResponse::ServiceUnavailable()
        .insert_header((header::RETRY_AFTER, "2"))
        .json(HealthResponse { status: fault })
}
