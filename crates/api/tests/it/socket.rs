//! Requests byte by byte over sockets of our own, for what no HTTP client would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::Stage;

/// Longer than any answer takes on a busy machine, and shorter than the API waits for a body.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back, headers in lower case.
#[derive(Debug)]
pub struct Answer {
    /// The status; 0 where nothing came.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// What follows them.
    pub body: String,
}

impl Answer {
    /// Whether it is as the application answers: JSON with a request id.
    pub fn is_the_applications(&self) -> bool {
        self.head.contains("x-request-id: ") && self.head.contains("content-type: application/json")
    }
}

/// Sends bytes and returns the answer. The connection is closed for writing afterwards, so that a server which waits
/// for more learns that there is none.
pub async fn exchange(stage: &Stage, request: &[u8]) -> Answer {
    let address = stage.api.url().replace("http://", "");
    let mut stream = TcpStream::connect(address).await.expect("connected");
    // The server may have heard enough before we have said everything.
    let _ = stream.write_all(request).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("it is answered");
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Answer {
        status: status.unwrap_or(0),
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

/// A request with the tenant's key, of a line without its version, header lines and a body.
pub fn request(stage: &Stage, line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let key = &stage.tenant.api_key;
    let head = format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: {key}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A request that brings JSON, or what it is meant to be taken for.
pub fn post(stage: &Stage, path: &str, body: &[u8]) -> Vec<u8> {
    let headers = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    request(stage, &format!("POST {path}"), &headers, body)
}
