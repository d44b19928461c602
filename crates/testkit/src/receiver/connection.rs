//! One client's connection: read a request, record it, answer as scripted.

use std::{io, net::SocketAddr, sync::Arc, time::Instant};

use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use time::OffsetDateTime;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Received,
    answer::{Answer, Ending},
    script::Script,
};

type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;

/// What one connection needs of its receiver.
#[derive(Debug)]
pub(super) struct Handler {
    pub(super) peer: SocketAddr,
    pub(super) script: Arc<Script>,
    /// None where nothing is remembered.
    pub(super) recorder: Option<Arc<watch::Sender<Vec<Received>>>>,
}

impl Handler {
    /// Serves requests until the client or a scripted reset ends the connection.
    pub(super) async fn serve(self, socket: TcpStream, acceptor: Option<TlsAcceptor>) {
        let Some(acceptor) = acceptor else {
            return self.serve_stream(socket, |socket| socket).await;
        };
        // A client that does not trust the certificate ends here; the test sees it at the client.
        if let Ok(stream) = acceptor.accept(socket).await {
            self.serve_stream(stream, |stream: &TlsStream<TcpStream>| stream.get_ref().0)
                .await;
        }
    }

    async fn serve_stream<S>(self, stream: S, socket_of: fn(&S) -> &TcpStream)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let service = service_fn(|request| self.answer(request));
        let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        if (&mut connection).await.is_err() {
            // Closing without lingering sends RST instead of FIN.
            let stream = connection.into_parts().io.into_inner();
            let _ = socket_of(&stream).set_zero_linger();
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<AnswerBody>> {
        let received = read(self.peer, request).await?;
        let answer = self.script.next(&received);
        if let Some(recorder) = &self.recorder {
            recorder.send_modify(|record| record.push(received));
        }
        if !answer.delay.is_zero() {
            tokio::time::sleep(answer.delay).await;
        }
        respond(answer).await
    }
}

async fn read(peer: SocketAddr, request: Request<Incoming>) -> io::Result<Received> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let headers = head.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    Ok(Received {
        at: Instant::now(),
        received_at: OffsetDateTime::now_utc(),
        peer,
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: headers.collect(),
        body,
    })
}

async fn respond(answer: Answer) -> io::Result<Response<AnswerBody>> {
    let body = match answer.ending {
        Ending::Body(bytes) => Full::new(bytes)
            .map_err(|never| match never {})
            .boxed_unsync(),
        Ending::Hang => std::future::pending().await,
        Ending::Drip(pause) => endless(Bytes::from_static(b"."), move || tokio::time::sleep(pause)),
        Ending::EndlessBody => endless(Bytes::from(vec![b'.'; 64 * 1024]), || async {}),
        Ending::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
    };
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(body).map_err(io::Error::other)
}

/// A body that repeats `chunk` for ever, each time after a `pause`.
fn endless<P>(chunk: Bytes, pause: impl Fn() -> P + Send + 'static) -> AnswerBody
where
    P: Future<Output = ()> + Send + 'static,
{
    let frames = stream::unfold((chunk, pause), |(chunk, pause)| async move {
        pause().await;
        Some((Ok(Frame::data(chunk.clone())), (chunk, pause)))
    });
    StreamBody::new(frames).boxed_unsync()
}
