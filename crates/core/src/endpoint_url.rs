//! The URL of an endpoint.
//!
//! Two readers of one URL must not disagree about which host it names, so everything that parsers
//! are known to read differently is refused as text, before the parser sees it. What remains is
//! parsed by the WHATWG rules (the `url` crate), which turn every notation of an IPv4 address into
//! the one it means, and is kept only in that canonical form.
//!
//! Names are not resolved here: what they resolve to changes, so the connector judges it at every
//! attempt.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use url::Url;

use crate::address::AddressGuard;

pub use url::Host;

pub use self::error::UrlError;

mod error;

/// Longest URL in bytes, as given and in canonical form.
///
/// Enough for any receiver's token in the query; longer ones are refused by common servers.
pub const MAX_URL_BYTES: usize = 2048;

/// Ports of well-known services that are no receivers, and that would read a request's bytes as
/// commands or log them: the [bad ports of the Fetch standard][fetch] that carry such services, and
/// those of databases, caches and cluster control, which the operator's own public address may have
/// open.
///
/// [fetch]: https://fetch.spec.whatwg.org/#port-blocking
const REFUSED_PORTS: [u16; 51] = [
    0, 7, 9, 19, 21, 22, 23, 25, 53, 69, 110, 111, 119, 123, 135, 137, 139, 143, 161, 179, 389,
    445, 465, 514, 587, 636, 873, 993, 995, 1433, 1521, 2049, 2181, 2375, 2379, 3306, 3389, 5432,
    5672, 5984, 6379, 6443, 8500, 9042, 9092, 9200, 9300, 10_250, 10_255, 11_211, 27_017,
];

/// Longest label and longest name in bytes, without a dot at the end (RFC 1035 §2.3.4).
const MAX_LABEL_BYTES: usize = 63;
const MAX_NAME_BYTES: usize = 253;

/// Says whether nothing is sent to this port, on whatever host.
///
/// The connector asks, too: a URL may have been stored before its port was refused.
pub fn is_refused_port(port: u16) -> bool {
    REFUSED_PORTS.contains(&port)
}

/// What the operator lets endpoints' URLs be.
#[derive(Clone, Debug, Default)]
pub struct UrlRules {
    /// Judges addresses that stand in a URL.
    pub guard: AddressGuard,
    /// Whether `http://` is accepted beside `https://`.
    pub allow_http: bool,
}

/// An `http` or `https` URL with a host, in canonical form.
///
/// `Debug` leaves out path and query, which often hold a receiver's credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl {
    url: Url,
    host: Host,
    port: u16,
}

impl EndpointUrl {
    /// Parses a URL that a tenant gave.
    ///
    /// # Errors
    ///
    /// Says which rule the URL breaks.
    pub fn parse(text: &str, rules: &UrlRules) -> Result<Self, UrlError> {
        check_text(text)?;
        let parsed = Self::from_stored(text)?;
        parsed.check_policy(rules)?;
        Ok(parsed)
    }

    /// Reads back what [`as_str`](Self::as_str) gave.
    ///
    /// The operator's rules are not applied: they may have become stricter, and then the connector
    /// refuses the address at the next attempt, where it can be seen.
    ///
    /// # Errors
    ///
    /// The text is no canonical `http` or `https` URL.
    pub fn from_stored(text: &str) -> Result<Self, UrlError> {
        let url = Url::parse(text).map_err(|_| UrlError::Malformed)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme);
        }
        let host = url.host().ok_or(UrlError::MissingHost)?.to_owned();
        let port = url.port_or_known_default().ok_or(UrlError::Scheme)?;
        Ok(Self { url, host, port })
    }

    /// The URL in canonical form.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// Says whether requests go over TLS.
    pub fn is_https(&self) -> bool {
        self.scheme() == "https"
    }

    /// The host: a name in ASCII and lower case, or an address.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, given or the scheme's own.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn check_policy(&self, rules: &UrlRules) -> Result<(), UrlError> {
        if self.as_str().len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        if !self.is_https() && !rules.allow_http {
            return Err(UrlError::HttpNotAllowed);
        }
        if is_refused_port(self.port) {
            return Err(UrlError::Port(self.port));
        }
        match &self.host {
            Host::Domain(name) => check_name(name, &rules.guard),
            Host::Ipv4(ip) => check_literal(IpAddr::V4(*ip), &rules.guard),
            Host::Ipv6(ip) => check_literal(IpAddr::V6(*ip), &rules.guard),
        }
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = (self.scheme(), &self.host, self.port);
        write!(f, "EndpointUrl({scheme}://{host}:{port}/…)")
    }
}

/// Refuses what parsers disagree about, and what has no meaning in an endpoint's URL.
fn check_text(text: &str) -> Result<(), UrlError> {
    if text.is_empty() {
        return Err(UrlError::Malformed);
    }
    if text.len() > MAX_URL_BYTES {
        return Err(UrlError::TooLong);
    }
    let is_forbidden = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if text.chars().any(is_forbidden) {
        return Err(UrlError::ForbiddenCharacter);
    }
    if text.contains('#') {
        return Err(UrlError::Fragment);
    }
    let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return Err(UrlError::Scheme);
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err(UrlError::MissingHost);
    }
    if authority.contains('@') {
        return Err(UrlError::Credentials);
    }
    Ok(())
}

fn check_literal(ip: IpAddr, guard: &AddressGuard) -> Result<(), UrlError> {
    if guard.permits_literal(ip) {
        Ok(())
    } else {
        Err(UrlError::Address)
    }
}

fn check_name(name: &str, guard: &AddressGuard) -> Result<(), UrlError> {
    let without_dot = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=MAX_LABEL_BYTES).contains(&label.len()) && label.bytes().all(is_allowed)
    };
    if without_dot.len() > MAX_NAME_BYTES || !without_dot.split('.').all(is_label) {
        return Err(UrlError::HostName);
    }
    // Resolvers must answer these names with loopback, whatever DNS says (RFC 6761 §6.3).
    let is_localhost = without_dot == "localhost" || without_dot.ends_with(".localhost");
    if is_localhost && !guard.permits(IpAddr::V4(Ipv4Addr::LOCALHOST)) {
        return Err(UrlError::Address);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
