//! What can be wrong with a URL.

use super::MAX_URL_BYTES;

/// Why a URL is refused; the messages are written for the tenant who sent it.
///
/// None of them says what was found behind an address: the rules look at the text alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Longer than [`MAX_URL_BYTES`], as given or in canonical form.
    #[error("URL must be at most {MAX_URL_BYTES} bytes long")]
    TooLong,
    /// A character on whose meaning parsers disagree.
    #[error("URL must not contain control characters, white space or backslashes")]
    ForbiddenCharacter,
    /// Neither `https://` nor `http://`.
    #[error(
        "URL must begin with 'https://', or 'http://' where plain HTTP is allowed; no other scheme is"
    )]
    Scheme,
    /// `http://`, where the operator does not allow it.
    #[error("URL must begin with 'https://': plain HTTP is not allowed here")]
    HttpNotAllowed,
    /// A user name or password.
    #[error("URL must not contain credentials")]
    Credentials,
    /// A fragment, which no request ever carries.
    #[error("URL must not contain a fragment ('#')")]
    Fragment,
    /// No host.
    #[error("URL must have a host")]
    MissingHost,
    /// A host name that DNS could not hold.
    #[error(
        "URL host must be a name of ASCII letters, digits, '-' and '_', at most 63 between two dots and 253 in all, or an address"
    )]
    HostName,
    /// An address that the guard refuses, or a name for the own machine.
    #[error("URL host must be a public address or name")]
    Address,
    /// Port 0, or one of a well-known service that is no receiver.
    #[error("URL port {0} is reserved for a service that receives no webhooks")]
    Port(u16),
    /// Not a URL in any other way.
    #[error("URL is malformed")]
    Malformed,
}
