//! Whose address a request comes from: the peer's, or behind a proxy that is trusted, the one that the proxy names.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::HttpRequest;
use ipnet::IpNet;

/// The header in which proxies append the address of their peer.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address that a request comes from, as limits count it: of IPv6 the network of a site (/64), since one host has
/// all of that.
#[must_use]
pub fn client_address(request: &HttpRequest, trusted_proxies: &[IpNet]) -> IpAddr {
    let peer = request
        .peer_addr()
        .map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.ip());
    site(behind(peer, request, trusted_proxies).to_canonical())
}

/// The last address on the way here that is no trusted proxy. What stands left of it anybody may have written.
fn behind(peer: IpAddr, request: &HttpRequest, trusted_proxies: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| {
        let address = address.to_canonical();
        trusted_proxies
            .iter()
            .any(|network| network.contains(&address))
    };
    if !is_trusted(peer) {
        return peer;
    }
    let named: Vec<&str> = request
        .headers()
        .get_all(FORWARDED_FOR)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    let mut last = peer;
    for text in named.iter().rev() {
        let Ok(address) = text.trim().parse() else {
            break;
        };
        last = address;
        if !is_trusted(address) {
            break;
        }
    }
    last
}

/// An address as limits count it: of IPv6 the network of a site.
#[must_use]
pub fn site(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            IpAddr::V6(Ipv6Addr::from(segments))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn read(peer: &str, forwarded_for: &[&str]) -> String {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let mut request = TestRequest::default().peer_addr(peer.parse().unwrap());
        for value in forwarded_for {
            request = request.append_header((FORWARDED_FOR, *value));
        }
        client_address(&request.to_http_request(), &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(read("192.0.2.1:1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(read("10.0.0.1:1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            read("10.0.0.1:1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"]),
            "198.51.100.7"
        );
        assert_eq!(
            read("10.0.0.1:1", &["1.1.1.1", "198.51.100.7"]),
            "198.51.100.7"
        );
        assert_eq!(read("10.0.0.1:1", &["nonsense"]), "10.0.0.1");
        assert_eq!(read("10.0.0.1:1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_site_is_one_address() {
        assert_eq!(read("[2001:db8:1:2:3:4:5:6]:1", &[]), "2001:db8:1:2::");
        assert_eq!(read("[::ffff:192.0.2.1]:1", &[]), "192.0.2.1");
    }
}
