//! `POST /v1/webhooks/endpoints/{endpoint_id}/rotate-secret`.

use std::time::Duration;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use reprise_core::endpoint::{Endpoint, EndpointStatus};
use reprise_core::scope::Scope;
use reprise_core::signing::SigningSecret;
use reprise_core::store::endpoints::{OverlapLength, rotate_secret};
use utoipa::ToSchema;

use super::EndpointWithSecret;
use super::both_families::done;
use super::signature::check_secret;
use crate::auth::Caller;
use crate::body::{MAX_BODY_BYTES, read_json};
use crate::error::ApiError;
use crate::faults::{Faults, Field, Fields};
use crate::path_id;
use crate::shown_secret::NO_STORE;
use crate::state::AppState;

/// How long both secrets sign, when the caller does not say.
const DEFAULT_OVERLAP: Duration = Duration::from_hours(24);

/// How to rotate; the body may be left out.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body; it is read field by field")]
pub struct RotationBody {
    /// The new secret, made by us if it is not given; as for a new endpoint.
    #[schema(max_length = 256)]
    secret: Option<String>,
    /// Seconds for which the old secret goes on signing; 0 ends at once whatever signs besides the new one.
    #[schema(minimum = 0, maximum = 604_800, default = 86_400)]
    overlap_seconds: Option<i32>,
}

/// What a body says. It may have faults, which are told together with those that show only beside the endpoint.
struct Rotation {
    faults: Faults,
    secret: Option<String>,
    overlap: OverlapLength,
}

impl Rotation {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// One fault when it is no JSON object.
    fn read(body: &[u8]) -> Result<Self, Faults> {
        let faults = Faults::default();
        let mut fields = Fields::from_optional_body(body, &faults)?;
        let secret = fields.optional("secret", |field| field.text_up_to(256));
        let asked = fields.optional("overlap_seconds", |field: Field| {
            Some(Duration::from_secs(
                field.integer(0..=604_800)?.unsigned_abs(),
            ))
        });
        fields.finish();
        Ok(Self {
            faults,
            secret,
            overlap: OverlapLength {
                length: asked.unwrap_or(DEFAULT_OVERLAP),
                is_asked_for: asked.is_some(),
            },
        })
    }

    /// The secret that the endpoint gets.
    fn make(&self, endpoint: &Endpoint) -> Result<SigningSecret, ApiError> {
        if endpoint.status == EndpointStatus::Deleted {
            return Err(ApiError::EndpointDeleted);
        }
        let signature = &endpoint.settings.signature;
        let secret = match &self.secret {
            Some(text) => check_secret(Some(signature), text, &self.faults),
            None => Some(SigningSecret::generate_for(signature)),
        };
        Ok(self.faults.clone().unless(secret)?)
    }
}

/// Gives the endpoint another signing secret. The answer holds it, here and never again.
///
/// In the scheme `standard` both secrets sign until the overlap ends. The schemes with one signature use the new one at
/// once, or, if `overlap_seconds` was sent, the old one until it ends. While an overlap lasts another rotation is 409,
/// since receivers may know the old secret alone; with `overlap_seconds` 0 it ends the overlap, and only the new secret
/// signs from then on.
#[utoipa::path(
    post, path = "/v1/webhooks/endpoints/{endpoint_id}/rotate-secret", tag = "endpoints",
    operation_id = "rotate_secret", params(("endpoint_id" = String, Path)), request_body = Option<RotationBody>,
    responses((status = 200, body = EndpointWithSecret), (status = 404, body = crate::error::ErrorBody),
              (status = 409, body = crate::error::ErrorBody), (status = 422, body = crate::error::ValidationBody))
)]
pub async fn rotate(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.require(Scope::WebhooksWrite)?;
    let body = read_json(&request, payload, MAX_BODY_BYTES).await?;
    let rotation = Rotation::read(&body)?;
    let (tenant_id, id) = (caller.tenant_id, path_id::endpoint(&id));
    let changed = state
        .with_connection(async |conn| {
            let make = |endpoint: &Endpoint| rotation.make(endpoint);
            rotate_secret(conn, &state.keys, tenant_id, id, rotation.overlap, make).await
        })
        .await?;
    Ok(HttpResponse::Ok()
        .insert_header(NO_STORE)
        .json(EndpointWithSecret::from(&done(changed)?)))
}
