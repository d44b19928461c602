//! One connection of the sink: read a request, note it, answer as the lane does.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::lane::{Behaviour, Lane};
use crate::{
    clock::Clock,
    http1::{Frame, find_frame},
    stamp::Stamp,
};

/// More than a request of any scenario but batches, which the sink never gets.
const BUFFER_BYTES: usize = 4_096;
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const FAILURE: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";

/// Serves a connection until the peer closes it.
pub(super) async fn serve(mut socket: TcpStream, lanes: &[Lane], clock: Clock) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    while let Some(frame) = read_frame(&mut socket, &mut buffer).await? {
        let now_ns = clock.now_ns();
        let lane = lane_of(&buffer).and_then(|number| lanes.get(number));
        if let Some(lane) = lane
            && let Some(stamp) = Stamp::read(&buffer[frame.head_bytes..frame.total_bytes])
        {
            lane.record(stamp, now_ns);
        }
        buffer.drain(..frame.total_bytes);
        match lane {
            None => socket.write_all(OK).await?,
            Some(lane) => answer(&mut socket, lane).await?,
        }
    }
    Ok(())
}

async fn answer(socket: &mut TcpStream, lane: &Lane) -> io::Result<()> {
    match lane.behaviour() {
        Behaviour::Answer => socket.write_all(OK).await,
        Behaviour::Fail => socket.write_all(FAILURE).await,
        Behaviour::AnswerAfter(delay) => {
            let waiting = lane.wait();
            tokio::time::sleep(delay).await;
            drop(waiting);
            socket.write_all(OK).await
        }
        Behaviour::Hang => {
            let _waiting = lane.wait();
            // Until the peer has had enough.
            socket.read(&mut [0; 1]).await.map(drop)
        }
    }
}

/// Reads on until there is a whole message; `None` when the peer has closed.
async fn read_frame(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Frame>> {
    loop {
        if let Some(frame) = find_frame(buffer) {
            return Ok(Some(frame));
        }
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// The lane that a request line names: `POST /7 HTTP/1.1`.
fn lane_of(request: &[u8]) -> Option<usize> {
    let path = request.strip_prefix(b"POST /")?;
    let end = path.iter().position(|byte| *byte == b' ')?;
    std::str::from_utf8(&path[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::lane_of;

    #[test]
    fn lane_stands_in_the_path() {
        assert_eq!(lane_of(b"POST /12 HTTP/1.1\r\n"), Some(12));
        assert_eq!(lane_of(b"POST /v1/webhooks/events HTTP/1.1\r\n"), None);
    }
}
