//! Attempts: one HTTP request made for a delivery, as it is kept and shown.

use std::net::IpAddr;
use std::time::Duration;

use time::OffsetDateTime;

use crate::attempt_outcome::ErrorKind;
use crate::ids::AttemptId;

/// Bytes of a response body that are kept and shown.
pub const KEPT_BODY_BYTES: usize = 16 * 1024;

/// What was received from the endpoint, as far as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedResponse {
    /// The status line's code.
    pub status: u16,
    /// Header names and values; repeated ones are joined as RFC 9110 section 5.3 says.
    pub headers: Vec<(String, String)>,
    /// The first [`KEPT_BODY_BYTES`] of the body.
    pub body: Vec<u8>,
    /// Whether there was more.
    pub body_truncated: bool,
}

/// Why an attempt did not deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptError {
    /// For programs.
    pub kind: ErrorKind,
    /// For people.
    pub message: String,
}

/// An attempt that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its id, made when it was scheduled.
    pub id: AttemptId,
    /// Counted from 1 within its delivery.
    pub number: u32,
    /// When its dispatcher began.
    pub started_at: OffsetDateTime,
    /// Until the response had been read or the attempt had failed; `None` when a dispatcher died over it.
    pub duration: Option<Duration>,
    /// What was sent, signatures included, custom header values redacted.
    pub request_headers: Vec<(String, String)>,
    /// What came back.
    pub response: Option<RecordedResponse>,
    /// Why it did not deliver.
    pub error: Option<AttemptError>,
    /// The address that was dialled.
    pub remote_ip: Option<IpAddr>,
}

impl Attempt {
    /// The receiver's answer, if it was a whole one: an answer that broke off or came too late is none, whatever its
    /// status line said.
    #[must_use]
    pub fn answered_status(&self) -> Option<u16> {
        let error_kind = self.error.as_ref().map(|error| error.kind);
        self.response
            .as_ref()
            .filter(|_| error_kind.is_none_or(ErrorKind::is_whole_answer))
            .map(|response| response.status)
    }

    /// The duration in whole milliseconds.
    #[must_use]
    pub fn duration_ms(&self) -> Option<u64> {
        self.duration
            .map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt_outcome::FailureKind;

    #[test]
    fn an_answer_that_broke_off_is_none() {
        let attempt = |kind: Option<ErrorKind>| Attempt {
            id: AttemptId::new(),
            number: 1,
            started_at: OffsetDateTime::UNIX_EPOCH,
            duration: Some(Duration::from_millis(7)),
            request_headers: Vec::new(),
            response: Some(RecordedResponse {
                status: 200,
                headers: Vec::new(),
                body: Vec::new(),
                body_truncated: false,
            }),
            error: kind.map(|kind| AttemptError {
                kind,
                message: String::new(),
            }),
            remote_ip: None,
        };
        assert_eq!(attempt(None).answered_status(), Some(200));
        assert_eq!(
            attempt(Some(ErrorKind::HttpStatus)).answered_status(),
            Some(200)
        );
        let broken = Some(ErrorKind::Failure(FailureKind::ConnectionLost));
        assert_eq!(attempt(broken).answered_status(), None);
    }
}
