//! Reading request bodies: bounded, and only after the caller is known.

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;

use crate::error::ApiError;

/// Longest body of every route but the batch ones: the contract's limit.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
///
/// [`ApiError::BodyTooLarge`] and [`ApiError::BodyUnreadable`].
pub async fn read(mut payload: Payload, limit: usize) -> Result<Bytes, ApiError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| ApiError::BodyUnreadable)?;
        if body.len() + chunk.len() > limit {
            return Err(ApiError::BodyTooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Reads a body that must be JSON by its content type; one without a content type is taken for it.
///
/// # Errors
///
/// [`ApiError::UnsupportedMediaType`], [`ApiError::BodyTooLarge`] and [`ApiError::BodyUnreadable`].
pub async fn read_json(
    request: &HttpRequest,
    payload: Payload,
    limit: usize,
) -> Result<Bytes, ApiError> {
    if let Some(content_type) = request.headers().get(header::CONTENT_TYPE) {
        let essence = content_type
            .to_str()
            .unwrap_or("")
            .split(';')
            .next()
            .unwrap_or("")
            .trim()
            .to_ascii_lowercase();
        if essence != "application/json"
            && !(essence.starts_with("application/") && essence.ends_with("+json"))
        {
            return Err(ApiError::UnsupportedMediaType);
        }
    }
    read(payload, limit).await
}
