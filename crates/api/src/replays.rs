//! Replaying: A's `POST /v1/webhooks/deliveries/{delivery_id}/replay`, and what B's redelivery shares with it.

use std::time::Duration;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use reprise_core::delivery::{Delivery, ReplayRefusal};
use reprise_core::ids::{AttemptId, TenantId};
use reprise_core::ready_hint::ReadyHint;
use reprise_core::scope::Scope;
use reprise_core::store::AsyncPgConnection;
use reprise_core::store::deliveries;
use reprise_core::store::replays::{self as store, ReplayOrder, Urgency};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;
use uuid::Uuid;

use crate::attempt_waiters::{soon, wait_for_attempt};
use crate::auth::Caller;
use crate::body::pass_over;
use crate::deliveries::{WebhookDeliveryResponse, not_found};
use crate::error::ApiError;
use crate::idempotency::{self, Key, KeyedWork};
use crate::state::AppState;
use crate::{path_id, prefer};

/// A replay that has been made, now or by the first request with the same key; so it is kept, too.
#[derive(Debug, Serialize, Deserialize)]
pub struct Replay {
    /// Its first attempt, which can be waited for.
    pub attempt_id: Uuid,
    /// What is answered of it: JSON.
    pub answer: Box<RawValue>,
}

/// Makes a replay, once per key, with the answer that `show` makes of it.
///
/// # Errors
///
/// [`ApiError::NotFound`], what the replay rules refuse, and the errors of the store.
pub async fn make<Answer: Serialize>(
    state: &AppState,
    caller: &Caller,
    key: Option<&Key>,
    order: ReplayOrder,
    show: fn(&Delivery) -> Answer,
) -> Result<Replay, ApiError> {
    let making = Making {
        tenant_id: caller.tenant_id,
        order,
        show,
    };
    let kept = idempotency::once_in_turn(state, key, making).await?;
    if order.urgency == Urgency::Normal {
        // An express one has notified in its commit, which takes a lock.
        state.wake_up.ask(&ReadyHint::Anywhere);
    }
    serde_json::from_slice(&kept).map_err(unreadable)
}

/// A replay on its way into the store.
struct Making<Answer> {
    tenant_id: TenantId,
    order: ReplayOrder,
    show: fn(&Delivery) -> Answer,
}

impl<Answer: Serialize> KeyedWork for Making<Answer> {
    async fn run(self, conn: &mut AsyncPgConnection) -> Result<Vec<u8>, ApiError> {
        let delivery = insert(conn, self.tenant_id, &self.order).await?;
        let answer = to_raw_value(&(self.show)(&delivery)).map_err(unreadable)?;
        idempotency::answer(&Replay {
            attempt_id: delivery.attempt_id.as_uuid(),
            answer,
        })
    }
}

/// A kept answer that can't be read: a mistake of ours.
pub fn unreadable(error: impl std::fmt::Display) -> ApiError {
    ApiError::Internal(format!("a kept replay can't be read: {error}"))
}

async fn insert(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    order: &ReplayOrder,
) -> Result<Delivery, ApiError> {
    if let Some(replay) = store::make(conn, tenant_id, order).await? {
        return Ok(replay);
    }
    // Why not may cost another look.
    let source = store::find_source(conn, tenant_id, order)
        .await?
        .ok_or_else(not_found)?;
    source.check()?;
    // What forbade it has gone meanwhile.
    let made = store::make(conn, tenant_id, order).await?;
    made.ok_or(ApiError::ReplayRefused(ReplayRefusal::NotFinished))
}

/// Replays a delivery: a new delivery of the same event to the same endpoint, as the endpoint is now.
#[utoipa::path(
    post, path = "/v1/webhooks/deliveries/{delivery_id}/replay", tag = "deliveries",
    summary = "Replay Webhook Delivery", operation_id = "replay_webhook_delivery",
    params(("delivery_id" = String, Path),
           ("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the first answer"),
           ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the first attempt")),
    responses((status = 200, description = "Successful Response", body = WebhookDeliveryResponse),
              (status = 404, body = crate::error::ErrorBody), (status = 409, body = crate::error::ErrorBody),
              (status = 410, body = crate::error::ErrorBody),
              (status = 422, description = "Validation Error", body = crate::error::ValidationBody))
)]
pub async fn replay(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksWrite)?;
    pass_over(&request, payload).await?;
    let delivery_id = path_id::delivery(&id);
    let path = format!("/v1/webhooks/deliveries/{delivery_id}/replay");
    let key = Key::read(&request, &caller, path, b"")?;
    let wait = prefer::wait(&request);
    let order = ReplayOrder {
        delivery_id,
        endpoint_id: None,
        // Who does not wait is in no hurry.
        urgency: if wait.is_some_and(|wait| !wait.is_zero()) {
            Urgency::Express
        } else {
            Urgency::Normal
        },
    };
    match wait {
        None => {
            let replay = make(&state, &caller, key.as_ref(), order, show).await?;
            Ok(HttpResponse::Ok().json(replay.answer))
        }
        Some(wait) if wait.is_zero() => {
            let replay = make(&state, &caller, key.as_ref(), order, show).await?;
            Ok(after(wait).json(replay.answer))
        }
        Some(wait) => replay_and_wait(&state, &caller, key.as_ref(), order, wait).await,
    }
}

/// An answer that says how long it was waited for.
fn after(wait: Duration) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header(("Preference-Applied", format!("wait={}", wait.as_secs())));
    response
}

fn show(delivery: &Delivery) -> WebhookDeliveryResponse {
    WebhookDeliveryResponse::from(delivery)
}

/// Of a kept answer, the new delivery's id.
#[derive(Deserialize)]
struct KeptId {
    id: String,
}

async fn replay_and_wait(
    state: &AppState,
    caller: &Caller,
    key: Option<&Key>,
    order: ReplayOrder,
    wait: Duration,
) -> Result<HttpResponse, ApiError> {
    let deadline = Instant::now() + wait;
    let place = state.attempt_waiters.take_place(caller.tenant_id)?;
    let replay = make(state, caller, key, order, show).await?;
    let attempt_id = AttemptId::from_uuid(replay.attempt_id);
    wait_for_attempt(state, &place, caller.tenant_id, attempt_id, deadline).await?;
    let kept: KeptId = serde_json::from_str(replay.answer.get()).map_err(unreadable)?;
    let id = path_id::delivery(&kept.id);
    let found = soon(state, async |conn| {
        deliveries::find(conn, caller.tenant_id, id).await
    });
    let mut response = after(wait);
    match found.await {
        Ok(delivery) => Ok(response.json(show(&delivery.ok_or_else(not_found)?))),
        // It has been made; telling the caller to try again would make another.
        Err(ApiError::Unavailable(_)) => Ok(response.json(replay.answer)),
        Err(error) => Err(error),
    }
}
