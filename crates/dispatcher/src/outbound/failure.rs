//! Why an exchange failed, judged by the types of errors and never by their texts.

use std::error::Error;
use std::io;

use reprise_core::attempt::AttemptError;
use reprise_core::attempt_outcome::{ErrorKind, FailureKind};

use super::guard::ConnectFailure;
use super::interim::TooManyInterimResponses;

/// Longest explanation by the TLS library that is kept, in bytes; it may quote the receiver's certificate.
const MAX_DETAIL_BYTES: usize = 300;

/// A failed exchange, in words that may be shown to the tenant: they tell no address, and nothing about a network that
/// the guard refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

impl Failure {
    /// A failure with the words for its kind.
    pub(crate) fn of(kind: FailureKind) -> Self {
        let message = match kind {
            FailureKind::AddressRefused => {
                "The URL is not allowed: its address is private, local or otherwise special, or it is no https:// URL"
            }
            FailureKind::Dns => "The host name could not be resolved to a public address",
            FailureKind::Connect => "No connection to the receiver could be made",
            FailureKind::Tls => "The TLS handshake failed",
            FailureKind::Timeout => "The response was not complete within the endpoint's timeout",
            FailureKind::Protocol => {
                "The response was not valid HTTP/1.1, or its headers were too large or too many"
            }
            FailureKind::ConnectionLost => "The connection broke before the response was complete",
            FailureKind::PayloadExpired => "The payload has expired and can no longer be sent",
            FailureKind::Lost => "The attempt was lost",
        };
        Self {
            kind,
            message: message.to_owned(),
        }
    }

    /// Judges an error of the HTTP client.
    pub(super) fn from_error(error: &(dyn Error + 'static)) -> Self {
        let kind = kind_of(error);
        let mut failure = Self::of(kind);
        if let Some(detail) = find::<rustls::Error>(error)
            && kind == FailureKind::Tls
        {
            failure.message = format!("{}: {}", failure.message, shortened(&detail.to_string()));
        }
        failure
    }
}

impl From<Failure> for AttemptError {
    fn from(failure: Failure) -> Self {
        Self {
            kind: ErrorKind::Failure(failure.kind),
            message: failure.message,
        }
    }
}

fn kind_of(error: &(dyn Error + 'static)) -> FailureKind {
    if let Some(failure) = find::<ConnectFailure>(error) {
        return match failure {
            ConnectFailure::Refused => FailureKind::AddressRefused,
            ConnectFailure::Unresolved(_) => FailureKind::Dns,
            ConnectFailure::Unconnected(_) => FailureKind::Connect,
            ConnectFailure::TooSlow => FailureKind::Timeout,
        };
    }
    if find::<rustls::Error>(error).is_some() {
        return FailureKind::Tls;
    }
    // What fails between the TCP connection and the first byte of HTTP is the TLS handshake.
    let is_connecting = find::<hyper_util::client::legacy::Error>(error)
        .is_some_and(hyper_util::client::legacy::Error::is_connect);
    if is_connecting {
        return FailureKind::Tls;
    }
    if error.is::<TooManyInterimResponses>() {
        return FailureKind::Protocol;
    }
    let is_malformed = find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse);
    if is_malformed || causes(error).any(is_malformed_body) {
        FailureKind::Protocol
    } else {
        FailureKind::ConnectionLost
    }
}

/// Chunks and trailers that are none, or beyond hyper's bounds of them, are told by the kind of an `io::Error`.
fn is_malformed_body(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
        )
    })
}

/// Looks for an error of type `T` among an error and its causes.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref::<T>())
}

/// An error and its causes. An `io::Error` shows what it wraps only when asked for it: its own `source` skips that.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// The text without what PostgreSQL can't store, cut where it gets long.
fn shortened(text: &str) -> String {
    let mut kept = text.replace('\0', "");
    if kept.len() > MAX_DETAIL_BYTES {
        kept.truncate(kept.floor_char_boundary(MAX_DETAIL_BYTES));
        kept.push('…');
    }
    kept
}
