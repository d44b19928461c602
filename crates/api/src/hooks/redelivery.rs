//! `POST /hooks/{hook_id}/requests/{request_id}/redeliver`.

use std::time::Duration;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use reprise_core::delivery::Delivery;
use reprise_core::ids::AttemptId;
use reprise_core::scope::Scope;
use reprise_core::store::replays::{ReplayOrder, Urgency};
use tokio::time::Instant;

use super::requests::HookRequestResponse;
use crate::attempt_waiters::wait_for_attempt;
use crate::auth::Caller;
use crate::body::pass_over;
use crate::error::ApiError;
use crate::idempotency::Key;
use crate::replays::{self, unreadable};
use crate::state::AppState;
use crate::{path_id, prefer};

fn show(delivery: &Delivery) -> HookRequestResponse {
    HookRequestResponse::from(delivery)
}

/// Redelivers an event at once, ahead of any backlog, and answers with what the receiver said.
///
/// Waits up to 30 seconds, or as `Prefer: wait=N` says. When the receiver has not answered by then, both response
/// fields are null and the delivery goes on; when it could not be reached, the status alone is.
#[utoipa::path(
    post, path = "/hooks/{hook_id}/requests/{request_id}/redeliver", tag = "hooks",
    summary = "Redeliver Webhook Event", operation_id = "redeliver_webhook_event",
    params(("hook_id" = String, Path), ("request_id" = String, Path),
           ("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the first answer"),
           ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds, at most 30")),
    responses((status = 200, body = HookRequestResponse),
              (status = 401, body = crate::error::ErrorBody), (status = 404, body = crate::error::ErrorBody),
              (status = 409, body = crate::error::ErrorBody), (status = 410, body = crate::error::ErrorBody),
              (status = 429, body = crate::error::ErrorBody))
)]
pub async fn redeliver(
    caller: Caller,
    state: Data<AppState>,
    ids: Path<(String, String)>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksWrite)?;
    pass_over(&request, payload).await?;
    let (hook_id, request_id) = ids.into_inner();
    let (hook_id, request_id) = (path_id::endpoint(&hook_id), path_id::delivery(&request_id));
    let path = format!("/hooks/{hook_id}/requests/{request_id}/redeliver");
    let key = Key::read(&request, &caller, path, b"")?;
    let preferred = prefer::wait(&request);
    let wait = preferred.unwrap_or(Duration::from_secs(prefer::MAX_WAIT_SECONDS));
    let deadline = Instant::now() + wait;
    let order = ReplayOrder {
        delivery_id: request_id,
        endpoint_id: Some(hook_id),
        // Who does not wait is in no hurry.
        urgency: if wait.is_zero() {
            Urgency::Normal
        } else {
            Urgency::Express
        },
    };
    let place = if wait.is_zero() {
        None
    } else {
        Some(state.attempt_waiters.take_place(caller.tenant_id)?)
    };
    let replay = replays::make(&state, &caller, key.as_ref(), order, show).await?;
    let mut answer: HookRequestResponse =
        serde_json::from_str(replay.answer.get()).map_err(unreadable)?;
    let attempt_id = AttemptId::from_uuid(replay.attempt_id);
    if let Some(place) = place
        && let Some(attempt) =
            wait_for_attempt(&state, &place, caller.tenant_id, attempt_id, deadline).await?
    {
        answer.response_status = attempt.status;
        answer.response_duration_ms = attempt.duration_ms;
    }
    let mut response = HttpResponse::Ok();
    if let Some(wait) = preferred {
        response.insert_header(("Preference-Applied", format!("wait={}", wait.as_secs())));
    }
    Ok(response.json(answer))
}
