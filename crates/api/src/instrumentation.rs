//! Around every request: `X-Request-Id` on its response and in its log lines, its metrics, and that it is under way.

use std::rc::Rc;
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use tracing::{Instrument, debug, info_span};
use uuid::Uuid;

use crate::http_server::bounded_stream::Exchange;
use crate::state::AppState;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id taken from a caller.
const MAX_BYTES: usize = 128;

/// The caller's id, if it is a sane one: visible ASCII that can do no harm in a log.
fn sane(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let is_sane = !text.is_empty()
        && text.len() <= MAX_BYTES
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte));
    is_sane.then(|| text.to_owned())
}

/// Runs the rest under the request's id, and answers with it.
///
/// # Errors
///
/// Those of the rest.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    // Held until the answer is there; its writing has a deadline of its own.
    let _under_way = request
        .conn_data::<Rc<Exchange>>()
        .map(Exchange::begin_request);
    let id = request
        .headers()
        .get(HEADER)
        .and_then(sane)
        .unwrap_or_else(|| Uuid::now_v7().to_string());
    let value = HeaderValue::from_str(&id);
    let (method, path) = (request.method().clone(), request.path().to_owned());
    let span = info_span!("request", request.id = %id, %method, path);
    let (measured_method, begun) = (request.method().clone(), Instant::now());
    async move {
        // Handlers and extractors have turned their errors into responses by now.
        let mut response = next.call(request).await?.map_into_boxed_body();
        if let Ok(value) = value {
            response.headers_mut().insert(HEADER, value);
        }
        let status = response.status().as_u16();
        if let Some(state) = response.request().app_data::<Data<AppState>>() {
            let route = response.request().match_pattern();
            state
                .metrics
                .note_request(measured_method.as_str(), route, status, begun.elapsed());
        }
        debug!(status, "Answered");
        Ok(response)
    }
    .instrument(span)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sane_ids_are_taken() {
        let take = |text: &str| sane(&HeaderValue::from_str(text).unwrap());
        assert_eq!(take("job-17/a:b").as_deref(), Some("job-17/a:b"));
        assert_eq!(take(""), None);
        assert_eq!(take("a b"), None);
        assert_eq!(take("\"quoted\""), None);
        assert_eq!(take(&"x".repeat(129)), None);
    }
}
