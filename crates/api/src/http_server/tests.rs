//! Clients that hold a connection in every way there is, over real sockets, with deadlines that tests can wait for.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Instant;

use actix_web::middleware::from_fn;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse};
use futures_util::future::join;
use prometheus_client::metrics::counter::Counter;
use reprise_testkit::polling::{poll_until, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::*;
use crate::instrumentation::observe;

/// Far longer than any of the deadlines, on any machine.
const PATIENCE_OF_TEST: Duration = Duration::from_secs(20);
const HEAD: Duration = Duration::from_secs(1);
/// The request that is never answered is being worked on.
static NEVER_HAS_BEGUN: Notify = Notify::const_new();
/// More than all buffers of a connection hold.
const LARGE: usize = 64 * 1024 * 1024;

/// A server with short deadlines and one place for each address, while `client` runs.
async fn with_server<Client: Future<Output = ()>>(
    client: impl FnOnce(SocketAddr, Arc<Places>) -> Client,
) {
    let (server, address, places) = start(600);
    let mut server = pin!(server);
    let handle = server.handle();
    tokio::select! {
        ended = &mut server => panic!("the server ended: {ended:?}"),
        () = client(address, places) => {}
    }
    let (_, ended) = join(handle.stop(false), server).await;
    ended.expect("it stops");
}

fn start(shutdown_seconds: u64) -> (Server, SocketAddr, Arc<Places>) {
    let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let places = Places::new(1, Vec::new(), Counter::default());
    let patience = Patience {
        head: HEAD,
        answer: HEAD,
        check_every: HEAD / 10,
    };
    let rules = Rules {
        patience,
        places: Arc::clone(&places),
        shutdown_seconds,
    };
    let server = serve(listener, &rules, app).expect("it serves");
    (server, address, places)
}

fn app() -> App<
    impl ServiceFactory<
        actix_web::dev::ServiceRequest,
        Config = (),
        Response = actix_web::dev::ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    App::new()
        .route("/small", web::get().to(HttpResponse::Ok))
        .route(
            "/large",
            web::get().to(async || HttpResponse::Ok().body(vec![b'x'; LARGE])),
        )
        .route("/refused", web::post().to(HttpResponse::Unauthorized))
        .route(
            "/slow",
            web::get().to(async || {
                tokio::time::sleep(3 * HEAD).await;
                HttpResponse::Ok().finish()
            }),
        )
        .route(
            "/never",
            web::get().to(async || {
                NEVER_HAS_BEGUN.notify_one();
                std::future::pending::<HttpResponse>().await
            }),
        )
        .route(
            "/body",
            web::post().to(async |body: Bytes| HttpResponse::Ok().body(body)),
        )
        .wrap(from_fn(observe))
}

async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    // Small buffers, or the system takes megabytes of an answer for a client that reads nothing.
    socket.set_recv_buffer_size(4096).expect("it is settable");
    socket.connect(address).await.expect("connected")
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("sent");
}

/// Reads until the end of a head and returns it.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = wait_for(PATIENCE_OF_TEST, stream.read_u8()).await;
        head.push(byte.expect("it is answered").expect("the head is whole"));
    }
    String::from_utf8(head).expect("heads are ASCII")
}

/// Waits for the server to close, and returns what it has said until then.
async fn read_until_closed(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let closed = wait_for(PATIENCE_OF_TEST, stream.read_to_end(&mut said)).await;
    // An error is a reset, which is an end too.
    let _ = closed.expect("the connection is held for ever");
    String::from_utf8_lossy(&said).into_owned()
}

/// Waits until the server has given up the only connection.
async fn wait_until_given_up(places: &Arc<Places>) {
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let given_up = poll_until(PATIENCE_OF_TEST, async || places.take(peer));
    assert!(given_up.await.is_some(), "the connection is held for ever");
}

#[tokio::test]
async fn a_first_head_that_does_not_come_is_answered_with_408() {
    with_server(async |address, _| {
        let mut stream = connect(address).await;
        send(&mut stream, "GET /small HTTP/1.1\r\nHost").await;
        let said = read_until_closed(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    })
    .await;
}

#[tokio::test]
async fn a_later_head_that_does_not_come_ends_the_connection() {
    with_server(async |address, _| {
        let mut stream = connect(address).await;
        for _ in 0..2 {
            send(&mut stream, "GET /small HTTP/1.1\r\nHost: x\r\n\r\n").await;
            let head = read_head(&mut stream).await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        }
        send(&mut stream, "G").await;
        read_until_closed(&mut stream).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_loses_the_connection() {
    with_server(async |address, places| {
        let mut stream = connect(address).await;
        send(&mut stream, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let _ = read_head(&mut stream).await;
        wait_until_given_up(&places).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_reads_its_answer_drop_by_drop_loses_the_connection() {
    with_server(async |address, places| {
        let mut stream = connect(address).await;
        send(&mut stream, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let _ = read_head(&mut stream).await;
        let dripping = async {
            let mut drops = tokio::time::interval(HEAD / 1_000);
            let (mut buffer, mut count) = ([0; 8192], 0);
            while let Ok(more @ 1..) = stream.read(&mut buffer).await {
                count += more;
                drops.tick().await;
            }
            assert!(count < LARGE, "it has got all of it, in its own time");
        };
        tokio::select! {
            () = dripping => {}
            () = wait_until_given_up(&places) => {}
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_nobody_reads_ends_with_the_connection() {
    with_server(async |address, _| {
        let mut stream = connect(address).await;
        let head = "POST /refused HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        send(&mut stream, head).await;
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
        let mut drops = tokio::time::interval(HEAD / 20);
        let sending = async {
            while stream.write_all(b"1\r\nx\r\n").await.is_ok() {
                drops.tick().await;
            }
        };
        let ended = wait_for(PATIENCE_OF_TEST, sending).await;
        ended.expect("the connection is held for ever");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_waits_for_its_answer_is_not_hurried() {
    with_server(async |address, _| {
        let mut stream = connect(address).await;
        send(&mut stream, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    })
    .await;
}

#[tokio::test]
async fn a_body_has_its_own_time_also_after_we_asked_for_it() {
    with_server(async |address, _| {
        let mut stream = connect(address).await;
        let head =
            "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
        send(&mut stream, head).await;
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 100 "), "{head}");
        for byte in ["o", "k"] {
            tokio::time::sleep(2 * HEAD).await;
            send(&mut stream, byte).await;
        }
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    })
    .await;
}

#[tokio::test]
async fn a_stop_ends_connections_that_would_go_on_for_ever() {
    let (server, address, _) = start(600);
    let handle = server.handle();
    let asking = async {
        let mut stream = connect(address).await;
        let mut stop = None;
        loop {
            let request = b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n";
            let _ = stream.write_all(request).await;
            let mut answer = [0; 4096];
            // Between two requests it may be closed without a word.
            match stream.read(&mut answer).await {
                Ok(1..) => assert!(answer.starts_with(b"HTTP/1.1 200 ")),
                Ok(0) | Err(_) => break,
            }
            stop.get_or_insert_with(|| handle.stop(true));
        }
        stop.expect("the first answer was not the last").await;
    };
    let (asked, ended) = join(wait_for(PATIENCE_OF_TEST, asking), server).await;
    asked.expect("the connection goes on although the server stops");
    ended.expect("it stops");
}

#[tokio::test]
async fn a_stop_waits_for_answers_and_not_for_ever() {
    let (server, address, _) = start(1);
    let handle = server.handle();
    let asking = async {
        let mut stream = connect(address).await;
        send(&mut stream, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await;
        NEVER_HAS_BEGUN.notified().await;
        let begun = Instant::now();
        handle.stop(true).await;
        assert!(begun.elapsed() >= Duration::from_secs(1), "it has waited");
    };
    let stopping = join(asking, server);
    let stopped = wait_for(PATIENCE_OF_TEST, stopping).await;
    let ((), ended) = stopped.expect("it waits for an answer that never comes");
    ended.expect("it stops");
}
