//! Receivers that speak no HTTP that a library would: a table of what they say, and what is made of it.

use reprise_core::attempt::RecordedResponse;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::*;

/// What a receiver does, one after the other, when a request has come.
#[derive(Clone, Debug)]
enum Step {
    Say(Vec<u8>),
    /// So that what follows comes in a packet of its own.
    Pause,
    /// Says it again and again until the client has had enough.
    Flood(Vec<u8>),
    /// Says it byte by byte.
    Drip(Vec<u8>),
    /// Says nothing more, and waits for what the client says next.
    Listen,
    /// Sends RST.
    Reset,
}

/// A receiver that takes each step on each of its connections, then closes it.
struct Raw {
    url: String,
    /// The connection, counted from 0, and what it brought: one for each request.
    requests: mpsc::UnboundedReceiver<(usize, String)>,
    _serving: JoinSet<()>,
}

impl Raw {
    async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let (record, requests) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.expect("a connection");
                connections.spawn(serve(stream, number, steps.clone(), record.clone()));
            }
        });
        Self {
            url,
            requests,
            _serving: serving,
        }
    }

    /// The requests that have come, each with its connection.
    fn requests(&mut self) -> Vec<(usize, String)> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    number: usize,
    steps: Vec<Step>,
    record: mpsc::UnboundedSender<(usize, String)>,
) {
    while let Some(request) = read_request(&mut stream).await {
        let _ = record.send((number, request));
        for step in &steps {
            match step {
                Step::Say(bytes) => drop(stream.write_all(bytes).await),
                Step::Pause => tokio::time::sleep(Duration::from_millis(20)).await,
                Step::Flood(bytes) => while stream.write_all(bytes).await.is_ok() {},
                Step::Drip(bytes) => {
                    for byte in bytes.chunks(1) {
                        let _ = stream.write_all(byte).await;
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
                Step::Listen => break,
                Step::Reset => {
                    stream.set_zero_linger().expect("a socket");
                    return;
                }
            }
        }
        if !matches!(steps.last(), Some(Step::Listen)) {
            return;
        }
    }
}

/// Reads a request up to its body, `{}`.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n{}") {
        let mut byte = [0];
        let read = stream.read(&mut byte).await.ok()?;
        request.extend_from_slice(byte.get(..read).filter(|read| !read.is_empty())?);
    }
    Some(String::from_utf8_lossy(&request).into_owned())
}

fn say(text: &str) -> Step {
    Step::Say(text.as_bytes().to_vec())
}

fn flood(text: &str) -> Step {
    Step::Flood(text.as_bytes().to_vec())
}

/// So many headers of so many bytes each, line ends and colons included.
fn headers(count: usize, bytes: usize) -> String {
    (0..count)
        .map(|place| {
            let name = format!("x-{place:04}: ");
            let value = "x".repeat(bytes - name.len() - 2);
            format!("{name}{value}\r\n")
        })
        .collect()
}

/// What is made of it: an answer with its body, or a failure.
#[derive(Debug, PartialEq, Eq)]
enum Made {
    Answer(u16, String),
    Failure(FailureKind),
}

fn answer(status: u16, body: &str) -> Made {
    Made::Answer(status, body.to_owned())
}

fn made_of(exchange: &Exchange) -> Made {
    match (&exchange.failure, &exchange.response) {
        (Some(failure), _) => Made::Failure(failure.kind),
        (None, Some(RecordedResponse { status, body, .. })) => {
            Made::Answer(*status, String::from_utf8_lossy(body).into_owned())
        }
        (None, None) => panic!("neither an answer nor a failure"),
    }
}

/// Sends twice to receivers that take these steps. The second request must not be taken in by what is left of the first
/// one's answer: it is made of the same, and where `is_kept` says so it comes on the same connection.
async fn meet(what: &str, steps: Vec<Step>, expected: Made, is_kept: bool) {
    let mut raw = Raw::start(steps).await;
    let outbound = outbound();
    // Who is to be too slow for it need not be waited for.
    let deadline = match expected {
        Made::Failure(FailureKind::Timeout) => Duration::from_millis(300),
        Made::Failure(_) | Made::Answer(..) => DEADLINE,
    };
    for _ in 0..2 {
        let exchange = send_within(&outbound, &raw.url, deadline).await;
        assert_eq!(made_of(&exchange), expected, "{what}");
    }
    let requests = raw.requests();
    let connections: Vec<_> = requests.iter().map(|(number, _)| *number).collect();
    let expected = if is_kept { [0, 0] } else { [0, 1] };
    assert_eq!(connections, expected, "{what}");
    for (_, request) in &requests {
        let head = request.to_lowercase();
        assert!(!head.contains("accept-encoding"), "{what}: {head}");
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\n";
const CHUNKED: &str = "transfer-encoding: chunked\r\n\r\n";

/// After the status line: answers with `ok` in them, after which the connection can be used again.
const WHOLE: [(&str, &str); 6] = [
    ("a length", "content-length: 2\r\n\r\nok"),
    (
        "a length twice, the same",
        "content-length: 2\r\ncontent-length: 2\r\n\r\nok",
    ),
    (
        "gzip that is none",
        "content-encoding: gzip\r\ncontent-length: 2\r\n\r\nok",
    ),
    (
        "chunks",
        "transfer-encoding: chunked\r\n\r\n1\r\no\r\n1;a=b\r\nk\r\n0\r\n\r\n",
    ),
    (
        "trailers",
        "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-a: b\r\n\r\n",
    ),
    (
        "chunks that hide a length",
        "content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
];

#[tokio::test]
async fn answers_that_are_whole_are_taken_as_they_are() {
    for (what, said) in WHOLE {
        let steps = vec![say(&format!("{OK}{said}")), Step::Listen];
        meet(what, steps, answer(200, "ok"), true).await;
    }
    for (what, headers) in [
        ("100 headers", headers(99, 20)),
        ("62 KiB of headers", headers(62, 1024)),
    ] {
        let said = format!("{OK}{headers}content-length: 2\r\n\r\nok");
        meet(
            what,
            vec![say(&said), Step::Listen],
            answer(200, "ok"),
            true,
        )
        .await;
    }
    for said in ["\r\nok", "connection: close\r\ncontent-length: 2\r\n\r\nok"] {
        let steps = vec![say(&format!("{OK}{said}"))];
        meet(said, steps, answer(200, "ok"), false).await;
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    for status in [301, 302, 303, 307, 308] {
        let head = format!("HTTP/1.1 {status} Elsewhere\r\nlocation: /other\r\n");
        let steps = vec![
            say(&format!("{head}content-length: 2\r\n\r\nno")),
            Step::Listen,
        ];
        meet("redirect", steps, answer(status, "no"), true).await;
    }
}

#[tokio::test]
async fn compressed_bodies_are_kept_as_they_came() {
    // Ten mebibytes of zeros would come out of these; nobody asks for them.
    let bomb = [
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xed, 0xc1, 0x01, 0x01, 0, 0,
    ];
    let mut said = format!("{OK}content-encoding: gzip\r\ncontent-length: 16\r\n\r\n").into_bytes();
    said.extend_from_slice(&bomb);
    let raw = Raw::start(vec![Step::Say(said), Step::Listen]).await;
    let exchange = send_to(&outbound(), &raw.url).await;
    assert_eq!(exchange.response.expect("a response").body, bomb);
}

/// After the status line.
const MALFORMED: [(&str, &str); 10] = [
    (
        "two lengths",
        "content-length: 2\r\ncontent-length: 3\r\n\r\nok!",
    ),
    ("a negative length", "content-length: -2\r\n\r\nok"),
    (
        "a length beyond counting",
        "content-length: 99999999999999999999\r\n\r\n",
    ),
    ("no number as length", "content-length: two\r\n\r\nok"),
    (
        "no chunk size",
        "transfer-encoding: chunked\r\n\r\nzz\r\nok\r\n",
    ),
    (
        "a chunk size beyond counting",
        "transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    ),
    (
        "no line end after a chunk",
        "transfer-encoding: chunked\r\n\r\n2\r\nokxx0\r\n\r\n",
    ),
    ("a folded header", "x-a: b\r\n c\r\n\r\n"),
    ("a NUL in a header", "x-a: \0\r\n\r\n"),
    ("a header without a name", ": b\r\n\r\n"),
];

#[tokio::test]
async fn what_is_no_http_is_a_protocol_failure() {
    let malformed = MALFORMED.map(|(what, said)| (what, vec![say(&format!("{OK}{said}"))]));
    let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let foreign = [
        ("HTTP/2's first frame", vec![0, 0, 0, 4, 0, 0, 0, 0, 0]),
        ("HTTP/2's GOAWAY", goaway.to_vec()),
        ("HTTP/2 by name", b"HTTP/2.0 200 OK\r\n\r\n".to_vec()),
        ("HTTP/0.9", b"<html>hello</html>".to_vec()),
    ];
    let foreign = foreign.map(|(what, said)| (what, vec![Step::Say(said)]));
    for (what, steps) in malformed.into_iter().chain(foreign) {
        meet(what, steps, Made::Failure(FailureKind::Protocol), false).await;
    }
}

#[tokio::test]
async fn what_has_no_end_ends_at_a_bound() {
    // hyper looks at the bound between two reads, and one brings as much at most.
    let too_large = vec![say(&headers(1, 130 * 1024)), say("\r\n")];
    for (what, begin, steps) in [
        ("101 headers", OK, vec![say(&headers(101, 20)), say("\r\n")]),
        ("130 KiB of headers", OK, too_large),
        ("a header", OK, vec![flood("x")]),
        ("headers", OK, vec![flood("x-a: b\r\n")]),
        ("a status line", "HTTP/1.1 200 ", vec![flood("O")]),
        (
            "an extension of a chunk",
            OK,
            vec![say(CHUNKED), say("2;"), flood("x")],
        ),
        (
            "trailers",
            OK,
            vec![say(CHUNKED), say("0\r\n"), flood("x-a: b\r\n")],
        ),
        (
            "a trailer",
            OK,
            vec![say(CHUNKED), say("0\r\nx-a: "), flood("b")],
        ),
    ] {
        let steps = [vec![say(begin)], steps].concat();
        meet(what, steps, Made::Failure(FailureKind::Protocol), false).await;
    }
}

#[tokio::test]
async fn answers_that_stop_halfway_are_lost_connections_or_timeouts() {
    use FailureKind::{ConnectionLost, Timeout};
    let half = format!("{OK}content-length: 10\r\n\r\nhalf");
    let half_a_chunk = format!("{OK}transfer-encoding: chunked\r\n\r\na\r\nhalf");
    for (what, steps, expected) in [
        ("nothing", vec![], ConnectionLost),
        ("reset", vec![Step::Reset], ConnectionLost),
        (
            "half a head",
            vec![say("HTTP/1.1 200 OK\r\nx-a: ")],
            ConnectionLost,
        ),
        ("half a body", vec![say(&half)], ConnectionLost),
        (
            "reset in a body",
            vec![say(&half), Step::Pause, Step::Reset],
            ConnectionLost,
        ),
        ("half a chunk", vec![say(&half_a_chunk)], ConnectionLost),
        ("silent", vec![Step::Listen], Timeout),
        (
            "silent in its headers",
            vec![say("HTTP/1.1 200 OK\r\nx-a: "), Step::Listen],
            Timeout,
        ),
        ("silent in a body", vec![say(&half), Step::Listen], Timeout),
        (
            "drips its headers",
            vec![say(OK), Step::Drip(headers(10, 20).into_bytes())],
            Timeout,
        ),
    ] {
        meet(what, steps, Made::Failure(expected), false).await;
    }
}

/// Waits until the client has closed its connections, and before it would because they are unused.
async fn wait_until_closed(outbound: &Outbound) {
    // One task looks for connections that are unused for too long.
    let closed = async {
        while outbound.connections.len() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let closed = tokio::time::timeout(IDLE_TIMEOUT * 3 / 4, closed).await;
    closed.expect("the client closes what is of no use any more");
}

#[tokio::test]
async fn what_comes_after_an_answer_is_never_taken_for_the_next_one() {
    let short = format!("{OK}content-length: 2\r\n\r\nok");
    let second = format!("{OK}content-length: 5\r\n\r\nfalse");
    for (what, steps) in [
        (
            "at once",
            vec![say(&format!("{short}{second}")), Step::Listen],
        ),
        (
            "a moment later",
            vec![say(&short), Step::Pause, say(&second), Step::Listen],
        ),
        (
            "no more than a byte",
            vec![say(&format!("{short}!")), Step::Listen],
        ),
    ] {
        let mut raw = Raw::start(steps).await;
        let outbound = outbound();
        for _ in 0..3 {
            let exchange = send_to(&outbound, &raw.url).await;
            assert_eq!(made_of(&exchange), answer(200, "ok"), "{what}");
            wait_until_closed(&outbound).await;
        }
        let connections: Vec<_> = raw.requests().iter().map(|(number, _)| *number).collect();
        assert_eq!(connections, [0, 1, 2], "{what}");
    }
}

#[tokio::test]
async fn receiver_that_never_reads_a_large_payload_costs_the_deadline_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    // More than both ends of a connection hold.
    let payload = Full::from(vec![b'1'; 32 * 1024 * 1024]);
    let request = Request::post(&url).body(payload).expect("a request");
    let outbound = outbound();
    let (exchange, connection) = tokio::join!(outbound.send(request, DEADLINE), listener.accept());
    assert!(connection.is_ok());
    let exchange = exchange.expect("begun");
    assert_eq!(kind_of(&exchange), Some(FailureKind::Timeout));
}

#[tokio::test]
async fn versions_of_tls_that_are_too_old_are_a_tls_failure() {
    // ServerHello (RFC 5246 section 7.4.1.3) of TLS 1.0 and 1.1 with TLS_RSA_WITH_AES_128_CBC_SHA, and the alert
    // protocol_version of a server that knows nothing newer.
    let hello = |minor: u8| {
        let mut body = vec![3, minor];
        body.extend_from_slice(&[7; 32]);
        body.extend_from_slice(&[0, 0, 0x2f, 0]);
        let handshake = [vec![2, 0, 0, 38], body].concat();
        [vec![22, 3, minor, 0, 42], handshake].concat()
    };
    for said in [hello(1), hello(2), vec![21, 3, 1, 0, 2, 2, 70]] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://{}/", listener.local_addr().expect("an address"));
        let answering = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 4096]).await.expect("a greeting");
            stream.write_all(&said).await.expect("written");
            let _ = stream.read(&mut [0; 4096]).await;
        };
        let client = outbound();
        let (exchange, ()) = tokio::join!(send_to(&client, &url), answering);
        assert_eq!(kind_of(&exchange), Some(FailureKind::Tls), "{said:?}");
    }
}
