//! Trying an endpoint out: `POST …/{endpoint_id}/test` and `…/verify`.

use std::time::Duration;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use reprise_core::attempt::Attempt;
use reprise_core::delivery::{Delivery, ReplayRefusal};
use reprise_core::endpoint_url::EndpointUrl;
use reprise_core::event_type::EventType;
use reprise_core::ids::EndpointId;
use reprise_core::scope::Scope;
use reprise_core::store::direct_events::{self, DirectEvent};
use reprise_core::store::{attempts, deliveries, endpoints};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::debug;
use utoipa::ToSchema;

use super::not_found;
use crate::attempt_waiters::{Place, soon, wait_for_attempt};
use crate::auth::Caller;
use crate::body::pass_over;
use crate::deliveries::WebhookDeliveryResponse;
use crate::error::ApiError;
use crate::state::AppState;
use crate::timestamp::Timestamp;
use crate::{path_id, prefer};

/// What a challenge shows that nobody waits for any more.
const GIVEN_UP: &str = "Nobody waited for the answer to the challenge any more";

/// Whether a receiver echoed a challenge.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Verified,
    Failed,
}

/// What came of a challenge.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerificationResponse {
    endpoint_id: String,
    #[schema(inline)]
    status: Verdict,
    /// When the endpoint was verified, if it just was.
    #[schema(value_type = Option<String>, format = DateTime)]
    verified_at: Option<Timestamp>,
    /// Why it failed, for people.
    reason: Option<String>,
    /// The delivery that brought the challenge.
    delivery_id: String,
    response_status: Option<u16>,
    response_duration_ms: Option<u64>,
}

/// Publishes an event of the type `webhook.test` to this endpoint alone, whatever it has subscribed to.
///
/// It is sent at once, ahead of everything else, and retried as any other; the answer does not wait for that.
#[utoipa::path(
    post, path = "/v1/webhooks/endpoints/{endpoint_id}/test", tag = "endpoints", operation_id = "test_endpoint",
    params(("endpoint_id" = String, Path)),
    responses((status = 200, body = WebhookDeliveryResponse), (status = 404, body = crate::error::ErrorBody),
              (status = 409, body = crate::error::ErrorBody))
)]
pub async fn test(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksWrite)?;
    pass_over(&request, payload).await?;
    let id = path_id::endpoint(&id);
    let payload = json!({
        "type": "webhook.test",
        "endpoint_id": id.to_string(),
        "sent_at": Timestamp(OffsetDateTime::now_utc()),
        "message": "This is a test: the endpoint can be reached",
    });
    let (delivery, _) = send(&state, &caller, id, EventType::test(), &payload).await?;
    Ok(HttpResponse::Ok().json(WebhookDeliveryResponse::from(&*delivery)))
}

/// Sends a challenge to the endpoint's URL and looks whether its receiver echoes it.
///
/// The challenge is a signed request of the type `webhook.challenge` with the payload
/// `{"type": "webhook.challenge", "challenge": "…"}`. The receiver must answer 2xx, and with the challenge: as plain
/// text, as a JSON string, or as a JSON object with the member `challenge`. Waits up to 30 seconds, or as
/// `Prefer: wait=N` says. The challenge is sent once and never retried.
#[utoipa::path(
    post, path = "/v1/webhooks/endpoints/{endpoint_id}/verify", tag = "endpoints", operation_id = "verify_endpoint",
    params(("endpoint_id" = String, Path),
           ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds, at most 30")),
    responses((status = 200, body = VerificationResponse), (status = 404, body = crate::error::ErrorBody),
              (status = 409, body = crate::error::ErrorBody), (status = 429, body = crate::error::ErrorBody))
)]
pub async fn verify(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksWrite)?;
    pass_over(&request, payload).await?;
    let id = path_id::endpoint(&id);
    let preferred = prefer::wait(&request);
    let wait = preferred.unwrap_or(Duration::from_secs(prefer::MAX_WAIT_SECONDS));
    let deadline = Instant::now() + wait;
    let challenge = format!("{:032x}", rand::random::<u128>());
    let payload = json!({"type": "webhook.challenge", "challenge": challenge});
    // Who does not wait needs no place among those who do.
    let place = (!wait.is_zero()).then(|| state.attempt_waiters.take_place(caller.tenant_id));
    let place = place.transpose()?;
    let (delivery, url) = send(&state, &caller, id, EventType::challenge(), &payload).await?;
    let attempt = match place {
        Some(place) => hear(&state, &place, &delivery, deadline).await?,
        None => None,
    };
    let judged = match &attempt {
        Some(attempt) => judge(attempt, &challenge),
        None => Err(give_up(&state, &delivery).await),
    };
    let verified = match judged {
        Ok(()) => note(&state, &caller, id, &url).await?,
        Err(reason) => Err(reason),
    };
    let mut response = HttpResponse::Ok();
    if let Some(wait) = preferred {
        response.insert_header(("Preference-Applied", format!("wait={}", wait.as_secs())));
    }
    Ok(response.json(VerificationResponse {
        endpoint_id: id.to_string(),
        status: if verified.is_ok() {
            Verdict::Verified
        } else {
            Verdict::Failed
        },
        verified_at: verified.as_ref().ok().copied().map(Timestamp),
        reason: verified.err(),
        delivery_id: delivery.id.to_string(),
        response_status: attempt.as_ref().and_then(Attempt::answered_status),
        response_duration_ms: attempt.as_ref().and_then(Attempt::duration_ms),
    }))
}

/// Stores an event for one endpoint.
async fn send(
    state: &AppState,
    caller: &Caller,
    id: EndpointId,
    event_type: EventType,
    payload: &Value,
) -> Result<(Box<Delivery>, EndpointUrl), ApiError> {
    let payload = payload.to_string();
    let sent = state
        .with_connection(async |conn| {
            let bytes = payload.as_bytes();
            direct_events::insert(conn, caller.tenant_id, id, event_type, bytes).await
        })
        .await?;
    match sent {
        DirectEvent::Stored { delivery, url } => {
            state.metrics.note_event(1);
            Ok((delivery, url))
        }
        DirectEvent::NotEnabled => Err(ReplayRefusal::EndpointDisabled.into()),
        DirectEvent::NotFound => Err(not_found()),
    }
}

/// Whether the receiver answered a challenge as it should; else why not.
fn judge(attempt: &Attempt, challenge: &str) -> Result<(), String> {
    if let Some(error) = &attempt.error {
        return Err(error.message.clone());
    }
    let body = attempt
        .response
        .as_ref()
        .map_or(&[][..], |response| &response.body);
    if echoes(body, challenge) {
        Ok(())
    } else {
        Err("The receiver did not answer with the challenge".to_owned())
    }
}

fn echoes(body: &[u8], challenge: &str) -> bool {
    let said = match serde_json::from_slice(body) {
        Ok(Value::String(text)) => text,
        Ok(Value::Object(mut members)) => match members.remove("challenge") {
            Some(Value::String(text)) => text,
            Some(_) | None => return false,
        },
        // A challenge of digits alone is a number to JSON.
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | Err(_) => {
            String::from_utf8_lossy(body).trim().to_owned()
        }
    };
    said == challenge
}

/// Waits for the challenge's attempt; `None` when there was none by then.
async fn hear(
    state: &AppState,
    place: &Place,
    delivery: &Delivery,
    deadline: Instant,
) -> Result<Option<Attempt>, ApiError> {
    let (tenant_id, attempt_id) = (delivery.tenant_id, delivery.attempt_id);
    let answer = wait_for_attempt(state, place, tenant_id, attempt_id, deadline).await?;
    if answer.is_none() {
        return Ok(None);
    }
    soon(state, async |conn| {
        attempts::find(conn, tenant_id, attempt_id).await
    })
    .await
}

/// Takes back a challenge that was not answered in time, and says why it was not.
async fn give_up(state: &AppState, delivery: &Delivery) -> String {
    let canceled = soon(state, async |conn| {
        deliveries::cancel(conn, delivery.tenant_id, delivery.id, GIVEN_UP).await
    });
    match canceled.await {
        Ok(Some(_)) => "No dispatcher has sent the challenge in time".to_owned(),
        Ok(None) => "The receiver has not answered in time".to_owned(),
        Err(error) => {
            debug!(%error, "Could not cancel a challenge; it is sent once at most");
            "The challenge was not answered in time".to_owned()
        }
    }
}

/// Notes that the endpoint is verified, unless it has another URL by now.
async fn note(
    state: &AppState,
    caller: &Caller,
    id: EndpointId,
    url: &EndpointUrl,
) -> Result<Result<OffsetDateTime, String>, ApiError> {
    let noted = state
        .with_connection(async |conn| {
            endpoints::note_verified(conn, caller.tenant_id, id, url).await
        })
        .await?;
    Ok(noted.ok_or_else(|| "The endpoint was changed meanwhile".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_echoed_as_text_or_json() {
        for body in [
            "12ab",
            " 12ab\n",
            "\"12ab\"",
            "{\"challenge\": \"12ab\", \"x\": 1}",
        ] {
            assert!(echoes(body.as_bytes(), "12ab"), "{body}");
        }
        assert!(echoes(b"1234", "1234"), "digits alone");
        for body in [
            "",
            "12a",
            "12abc",
            "{}",
            "{\"challenge\": 12}",
            "[\"12ab\"]",
            "x 12ab",
        ] {
            assert!(!echoes(body.as_bytes(), "12ab"), "{body}");
        }
    }
}
