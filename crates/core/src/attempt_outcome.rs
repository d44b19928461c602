//! What came of one attempt.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What came of one attempt: the receiver answered, or no answer could be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The receiver answered, with whatever status.
    Answered {
        /// The status of the final response.
        status: u16,
        /// The wait that a `Retry-After` header asked for.
        retry_after: Option<Duration>,
    },
    /// There is no answer to judge.
    Failed(FailureKind),
}

impl AttemptOutcome {
    /// Says whether the receiver took the delivery: any 2xx, and nothing else.
    pub fn is_delivered(&self) -> bool {
        matches!(
            self,
            Self::Answered {
                status: 200..=299,
                ..
            }
        )
    }

    /// Why the attempt did not deliver; `None` when it did.
    pub fn error_kind(&self) -> Option<ErrorKind> {
        match *self {
            Self::Answered { .. } if self.is_delivered() => None,
            Self::Answered { .. } => Some(ErrorKind::HttpStatus),
            Self::Failed(kind) => Some(ErrorKind::Failure(kind)),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The address guard refused the URL.
    AddressRefused,
    /// The name did not resolve, or led to an address that the guard refuses: which of the two is not told.
    Dns,
    /// No connection came about.
    Connect,
    /// The TLS handshake failed, or the certificate did not hold.
    Tls,
    /// The endpoint's deadline passed.
    Timeout,
    /// What came back was not HTTP, or went past a bound.
    Protocol,
    /// The connection broke before the response was complete.
    ConnectionLost,
    /// Retention had removed the payload; there was nothing to send.
    PayloadExpired,
    /// A dispatcher died over the attempt; whether the receiver got it is unknown.
    Lost,
}

impl FailureKind {
    /// Every kind there is.
    pub const ALL: [Self; 9] = [
        Self::AddressRefused,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Protocol,
        Self::ConnectionLost,
        Self::PayloadExpired,
        Self::Lost,
    ];

    /// The stable name in database, API and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AddressRefused => "address_refused",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::ConnectionLost => "connection_lost",
            Self::PayloadExpired => "payload_expired",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FailureKind {
    type Err = UnknownErrorKind;

    fn from_str(text: &str) -> Result<Self, UnknownErrorKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(UnknownErrorKind)
    }
}

/// Why an attempt did not deliver: the contract's `error_kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// An answer other than 2xx; redirects too, since they are not followed.
    HttpStatus,
    /// No answer.
    Failure(FailureKind),
}

impl ErrorKind {
    const HTTP_STATUS: &'static str = "http_status";

    /// Whether the receiver gave a whole answer: one that broke off or came too late is none, whatever its status line
    /// said.
    #[must_use]
    pub const fn is_whole_answer(self) -> bool {
        match self {
            Self::HttpStatus => true,
            Self::Failure(_) => false,
        }
    }

    /// The stable name in database, API and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HttpStatus => Self::HTTP_STATUS,
            Self::Failure(kind) => kind.as_str(),
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ErrorKind {
    type Err = UnknownErrorKind;

    fn from_str(text: &str) -> Result<Self, UnknownErrorKind> {
        match text {
            Self::HTTP_STATUS => Ok(Self::HttpStatus),
            failure => failure.parse().map(Self::Failure),
        }
    }
}

/// A text that is no [`ErrorKind`] or [`FailureKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown error kind")]
pub struct UnknownErrorKind;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back() {
        for kind in FailureKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(kind.as_str().parse(), Ok(ErrorKind::Failure(kind)));
        }
        assert_eq!("http_status".parse(), Ok(ErrorKind::HttpStatus));
        assert_eq!("http_status".parse::<FailureKind>(), Err(UnknownErrorKind));
        assert_eq!("".parse::<ErrorKind>(), Err(UnknownErrorKind));
    }

    #[test]
    fn every_attempt_that_did_not_deliver_has_a_kind() {
        for status in 0..=u16::MAX {
            let outcome = AttemptOutcome::Answered {
                status,
                retry_after: None,
            };
            assert_eq!(outcome.error_kind().is_none(), outcome.is_delivered());
            assert_eq!(outcome.is_delivered(), (200..300).contains(&status));
        }
        let lost = AttemptOutcome::Failed(FailureKind::Lost);
        assert_eq!(lost.error_kind().map(ErrorKind::as_str), Some("lost"));
    }
}
