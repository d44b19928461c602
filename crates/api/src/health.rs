//! `/healthz` and `/readyz`: they read, and never write.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;
use reprise_core::store::{StoreError, partitions};
use serde::Serialize;
use tracing::{debug, error};
use utoipa::ToSchema;

use crate::error::ErrorBody;
use crate::state::AppState;

/// Partitions must last this long for the API to be ready. Both programs make them two weeks ahead, so that below
/// two days something has been wrong for twelve.
const MIN_PARTITIONS_AHEAD: time::Duration = time::Duration::days(2);

/// How long PostgreSQL is waited for. Longer, and probes, which commonly give up after a second, hear nothing; shorter, and a
/// slow disk takes a replica out that could serve.
const READY_DEADLINE: Duration = Duration::from_secs(1);

/// Whether the process is well.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthResponse {
    /// `ok`.
    status: String,
}

/// Whether the process lives; says nothing of PostgreSQL, so that an outage there restarts nothing here.
#[utoipa::path(get, path = "/healthz", tag = "operations", operation_id = "healthz", security(()),
    responses((status = 200, body = HealthResponse)))]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(well())
}

/// Whether requests can be served: PostgreSQL answers, is migrated, and has room for days to come.
#[utoipa::path(get, path = "/readyz", tag = "operations", operation_id = "readyz", security(()),
    responses((status = 200, body = HealthResponse),
              (status = 503, body = ErrorBody,
               example = json!({"detail": "PostgreSQL is not available", "code": "unavailable"}))))]
pub async fn ready(state: Data<AppState>) -> HttpResponse {
    let remaining = state
        .database
        .run(READY_DEADLINE, async |conn| {
            partitions::remaining(conn).await
        })
        .await;
    match remaining.and_then(|remaining| remaining) {
        Ok(remaining) if remaining >= MIN_PARTITIONS_AHEAD => HttpResponse::Ok().json(well()),
        Ok(_) => not_ready(
            "partitions_end",
            "Partitions end within two days; run `reprise-api migrate`",
        ),
        Err(StoreError::Unavailable(cause)) => {
            debug!(cause, "Not ready");
            not_ready("unavailable", "PostgreSQL is not available")
        }
        Err(error) => {
            error!(%error, "Not ready");
            not_ready(
                "not_migrated",
                "PostgreSQL can't tell; run `reprise-api migrate`",
            )
        }
    }
}

fn well() -> HealthResponse {
    HealthResponse {
        status: "ok".to_owned(),
    }
}

fn not_ready(code: &str, detail: &str) -> HttpResponse {
    HttpResponse::ServiceUnavailable()
        .insert_header((header::RETRY_AFTER, "2"))
        .json(ErrorBody {
            detail: detail.to_owned(),
            code: code.to_owned(),
        })
}
