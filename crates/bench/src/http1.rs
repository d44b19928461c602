//! Where an HTTP/1.1 message ends: just enough for a sink and a load generator that must cost next to nothing.

/// A message that has come in whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of the start line and the headers, the empty line included.
    pub head_bytes: usize,
    /// Bytes of head and body.
    pub total_bytes: usize,
}

/// Finds the first message in what was read; `None` as long as it is not there in whole.
///
/// Bodies are delimited by `content-length`, the only way in which our programs send.
pub fn find_frame(buffer: &[u8]) -> Option<Frame> {
    let head_bytes = find(buffer, b"\r\n\r\n")? + 4;
    let body_bytes = header(&buffer[..head_bytes], b"content-length:")
        .and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok())
        .unwrap_or(0_usize);
    let total_bytes = head_bytes.checked_add(body_bytes)?;
    (buffer.len() >= total_bytes).then_some(Frame {
        head_bytes,
        total_bytes,
    })
}

/// The status of a response whose head is there.
pub fn status(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()
}

/// The place of the first occurrence of `wanted`.
pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (start, value) = line.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_found_once_its_body_is_whole() {
        let message = b"HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1";
        let frame = Frame {
            head_bytes: 44,
            total_bytes: 47,
        };
        assert_eq!(find_frame(message), Some(frame));
        assert_eq!(find_frame(&message[..46]), None);
        assert_eq!(find_frame(&message[..20]), None);
        assert_eq!(status(message), Some(202));
    }
}
