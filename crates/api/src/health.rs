//! `/healthz` and `/readyz`: they read, and never write.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;
use reprise_core::store::{Database, StoreError, partitions};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, error};
use utoipa::ToSchema;

use crate::error::ErrorBody;
use crate::state::AppState;

/// Partitions must last this long for the API to be ready. Both programs make them two weeks ahead, so that below
/// two days something has been wrong for twelve.
const MIN_PARTITIONS_AHEAD: time::Duration = time::Duration::days(2);

/// How long PostgreSQL is waited for. Longer, and probes, which commonly give up after a second, hear nothing; shorter,
/// and a slow disk takes a replica out that could serve.
const READY_DEADLINE: Duration = Duration::from_secs(1);

/// How long a look at PostgreSQL stands for others. Anybody may ask, and as often as they like: so they cost one
/// connection at a time, twice a second. Longer, and a balancer hears of an outage later than it asks.
const LOOK_LIFETIME: Duration = Duration::from_millis(500);

/// How much longer partitions last.
type Look = Result<time::Duration, StoreError>;

/// The last look at PostgreSQL, which those who ask at once share.
#[derive(Debug, Default)]
pub struct ReadinessLooks {
    last: Mutex<Option<(Instant, Arc<Look>)>>,
}

impl ReadinessLooks {
    /// The last look, or a new one if that is too old. Who asks meanwhile waits for it.
    ///
    /// Cancel safety: the next one looks.
    async fn shared(&self, look: impl AsyncFnOnce() -> Look) -> Arc<Look> {
        let mut last = self.last.lock().await;
        if let Some((at, look)) = &*last
            && at.elapsed() < LOOK_LIFETIME
        {
            return Arc::clone(look);
        }
        let look = Arc::new(look().await);
        *last = Some((Instant::now(), Arc::clone(&look)));
        look
    }
}

async fn look(database: &Database) -> Look {
    let remaining = database
        .run(READY_DEADLINE, async |conn| {
            partitions::remaining(conn).await
        })
        .await;
    remaining.and_then(|remaining| remaining)
}

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
pub async fn ready(state: Data<AppState>, looks: Data<ReadinessLooks>) -> HttpResponse {
    let look = looks.shared(async || look(&state.database).await).await;
    match &*look {
        Ok(remaining) if *remaining >= MIN_PARTITIONS_AHEAD => HttpResponse::Ok().json(well()),
        Ok(_) => not_ready(
            "partitions_end",
            "Partitions end within two days; run `reprise-api migrate`",
        ),
        Err(error) if error.may_pass() => {
            debug!(%error, "Not ready");
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_at_once_share_a_look_and_later_ones_have_their_own() {
        let (looks, count) = (ReadinessLooks::default(), AtomicUsize::new(0));
        let ask = || {
            looks.shared(async || {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok(time::Duration::WEEK)
            })
        };
        join_all((0..100).map(|_| ask())).await;
        let moment = Duration::from_millis(1);
        tokio::time::advance(LOOK_LIFETIME - moment).await;
        assert!(ask().await.is_ok());
        assert_eq!(count.load(Ordering::SeqCst), 1);
        tokio::time::advance(moment).await;
        assert!(ask().await.is_ok());
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }
}
