//! Reading request bodies: bounded, each and all together, and only after the caller is known.

pub mod room;

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Data, Payload};
use actix_web::{HttpMessage, HttpRequest};
use futures_util::StreamExt;

use self::room::BodyRoom;
use crate::error::ApiError;

/// Longest body of every route but the batch ones: the contract's limit.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// How long a body may take to come. A slow line brings a mebibyte in that time; a client that stalls keeps its
/// connection, and a server that stops, no longer.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// Reads a whole body of at most `limit` bytes. It takes its part of the [`BodyRoom`] for as long as there is the
/// request.
///
/// # Errors
///
/// [`ApiError::BodyTooLarge`], at once if the request says how long it is; [`ApiError::BodyUnreadable`] and
/// [`ApiError::BodyTooSlow`]; [`ApiError::NoRoomForBody`].
pub async fn read(
    request: &HttpRequest,
    payload: Payload,
    limit: usize,
) -> Result<Bytes, ApiError> {
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    if declared
        .and_then(|text| text.parse::<usize>().ok())
        .is_some_and(|length| length > limit)
    {
        return Err(ApiError::BodyTooLarge(limit));
    }
    match tokio::time::timeout(BODY_DEADLINE, collect(request, payload, limit)).await {
        Ok(body) => body,
        Err(_) => Err(ApiError::BodyTooSlow),
    }
}

/// Reads a body that says nothing to the route, as FastAPI passes over one: unread it would end the connection.
///
/// # Errors
///
/// [`ApiError::BodyTooLarge`], [`ApiError::BodyUnreadable`] and [`ApiError::BodyTooSlow`].
pub async fn pass_over(request: &HttpRequest, payload: Payload) -> Result<(), ApiError> {
    read(request, payload, MAX_BODY_BYTES).await.map(|_| ())
}

async fn collect(
    request: &HttpRequest,
    mut payload: Payload,
    limit: usize,
) -> Result<Bytes, ApiError> {
    let mut body = BytesMut::new();
    let mut place = request
        .app_data::<Data<BodyRoom>>()
        .map(|room| room.place());
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| ApiError::BodyUnreadable)?;
        if body.len() + chunk.len() > limit {
            return Err(ApiError::BodyTooLarge(limit));
        }
        if let Some(place) = &mut place {
            place.grow_to(body.len() + chunk.len()).await?;
        }
        body.extend_from_slice(&chunk);
    }
    if let Some(place) = place {
        request.extensions_mut().insert(place);
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
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        return Err(ApiError::UnsupportedMediaType);
    }
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
    read(request, payload, limit).await
}

#[cfg(test)]
mod tests {
    use super::*;

    use actix_web::dev;
    use actix_web::error::PayloadError;
    use actix_web::test::TestRequest;
    use actix_web::{FromRequest, ResponseError};
    use futures_util::FutureExt;
    use futures_util::stream::{self, Stream};
    use tokio::time::Instant;

    /// Reads a body that comes as this stream does.
    async fn read_stream(
        stream: impl Stream<Item = Result<Bytes, PayloadError>> + 'static,
    ) -> Result<Bytes, ApiError> {
        let request = TestRequest::default().to_http_request();
        let mut body: dev::Payload = dev::Payload::Stream {
            payload: Box::pin(stream),
        };
        let payload = Payload::from_request(&request, &mut body).await;
        read(&request, payload.expect("any body is one"), 1_000).await
    }

    fn too_slow(read: Result<Bytes, ApiError>) -> (u16, &'static str) {
        let error = read.expect_err("it never ends");
        (error.status_code().as_u16(), error.code())
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_is_not_whole_after_thirty_seconds_is_too_slow() {
        let begun = Instant::now();
        let silent = read_stream(stream::pending()).await;
        assert_eq!(too_slow(silent), (408, "body_too_slow"));
        assert_eq!(begun.elapsed(), Duration::from_secs(30));

        let begun = Instant::now();
        let drops = tokio::time::interval(Duration::from_secs(1));
        let dripping = stream::unfold(drops, async |mut drops| {
            drops.tick().await;
            Some((Ok(Bytes::from_static(b"x")), drops))
        });
        assert_eq!(
            too_slow(read_stream(dripping).await),
            (408, "body_too_slow")
        );
        assert_eq!(begun.elapsed(), Duration::from_secs(30));
    }

    #[tokio::test]
    async fn body_of_no_told_length_is_too_large_once_it_is() {
        for (bytes, is_read) in [(1_000, true), (1_001, false)] {
            let halves =
                [bytes / 2, bytes - bytes / 2].map(|count| Ok(Bytes::from(vec![b'x'; count])));
            let read = read_stream(stream::iter(halves)).await;
            match read {
                Ok(body) => assert!(is_read && body.len() == bytes),
                Err(error) => assert!(!is_read && matches!(error, ApiError::BodyTooLarge(1_000))),
            }
        }
    }

    #[tokio::test]
    async fn body_that_says_it_is_too_large_is_refused_before_it_comes() {
        let request = TestRequest::default().insert_header((header::CONTENT_LENGTH, 1_001));
        let request = request.to_http_request();
        let mut body: dev::Payload = dev::Payload::Stream {
            payload: Box::pin(stream::pending()),
        };
        let payload = Payload::from_request(&request, &mut body).await;
        let read = read(&request, payload.expect("any body is one"), 1_000).now_or_never();
        assert!(matches!(read, Some(Err(ApiError::BodyTooLarge(1_000)))));
    }

    /// A request with a part of this room, and what came of its body of so many bytes.
    async fn read_within(
        room: &Data<BodyRoom>,
        bytes: usize,
    ) -> (HttpRequest, Result<Bytes, ApiError>) {
        let request = TestRequest::default().app_data(room.clone());
        let request = request.to_http_request();
        let chunk = Ok(Bytes::from(vec![b'x'; bytes]));
        let mut body: dev::Payload = dev::Payload::Stream {
            payload: Box::pin(stream::iter([chunk])),
        };
        let payload = Payload::from_request(&request, &mut body).await;
        let read = read(&request, payload.expect("any body is one"), MAX_BODY_BYTES).await;
        (request, read)
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_share_a_room_until_their_requests_are_answered() {
        let room = Data::new(BodyRoom::new(256 * 1024));
        let (first, read) = read_within(&room, 200 * 1024).await;
        assert!(read.is_ok());
        let (_, refused) = read_within(&room, 100 * 1024).await;
        let error = refused.expect_err("there is no room");
        assert_eq!(error.status_code().as_u16(), 503);
        let waiting = read_within(&room, 100 * 1024);
        let answering = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            drop(first);
        };
        let ((_second, read), ()) = futures_util::future::join(waiting, answering).await;
        assert!(read.is_ok(), "room came free in time");
    }
}
