//! The address guard: which addresses a request may be sent to.
//!
//! A tenant chooses the URLs that Reprise calls, so without a guard any tenant could make it call
//! the operator's own network (server-side request forgery). The guard is allow-based: an address
//! is refused unless it is known to be ordinary public unicast.
//!
//! It judges addresses, never names. The connector asks it about the address it is about to dial,
//! at every attempt, because what a name resolves to changes between attempts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// IPv4 networks that are not public.
///
/// The IANA IPv4 Special-Purpose Address Registry (RFC 6890) in whole, also the few blocks that it
/// marks as globally reachable, since no receiver lives in them; then multicast (RFC 5771), the
/// reserved class E (RFC 1112 §4), and Azure's host agent, which hands out machine secrets on an
/// address that is otherwise public.
const REFUSED_V4: [Ipv4Net; 19] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([168, 63, 129, 16], 32),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 31, 196, 0], 24),
    v4([192, 52, 193, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([192, 175, 48, 0], 24),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// The only IPv6 block from which IANA assigns global unicast addresses (RFC 4291 §2.4).
const GLOBAL_UNICAST_V6: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// Parts of global unicast that are not public, by the IANA IPv6 Special-Purpose Address Registry
/// (RFC 6890): protocol assignments with Teredo, documentation, 6to4 (which smuggles any IPv4
/// address), documentation again (RFC 9637).
const REFUSED_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// The well-known NAT64 prefix (RFC 6052 §2.1): a DNS64 resolver answers with it for receivers that
/// have only an IPv4 address, which stands in the last 32 bits.
const NAT64: Ipv6Net = v6([0x0064, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

/// IPv4 addresses written as IPv6 (RFC 4291 §2.5.5.2); the kernel dials them as IPv4.
const V4_MAPPED: Ipv6Net = v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96);

/// Says whether an address is ordinary public unicast.
///
/// An IPv4-mapped address is judged as the IPv4 address it stands for. So is one under the NAT64
/// prefix, since a resolver may have made it; in a URL it is refused by
/// [`AddressGuard::permits_literal`].
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) if NAT64.contains(&ip) => is_public_v4(embedded_v4(ip)),
        IpAddr::V6(ip) => {
            GLOBAL_UNICAST_V6.contains(&ip) && !REFUSED_V6.iter().any(|net| net.contains(&ip))
        }
    }
}

/// Decides which addresses may be dialled: the public ones, and those the operator allowed.
#[derive(Clone, Debug, Default)]
pub struct AddressGuard {
    allow: Vec<IpNet>,
}

impl AddressGuard {
    /// Makes a guard that lets through public addresses and everything inside `allow_networks`.
    pub fn new(allow_networks: Vec<IpNet>) -> Self {
        let allow = allow_networks.into_iter().map(canonical_network).collect();
        Self { allow }
    }

    /// Says whether the operator has allowed addresses that are not public.
    pub fn allows_more_than_public(&self) -> bool {
        !self.allow.is_empty()
    }

    /// Says whether an address that a name resolved to may be dialled.
    pub fn permits(&self, ip: IpAddr) -> bool {
        is_public(ip) || self.is_allowed(ip)
    }

    /// Says whether an address may stand in a URL.
    ///
    /// NAT64 addresses are refused here although [`permits`](Self::permits) takes them: only a
    /// resolver has a reason to make one, in a URL it is a way around somebody's filter.
    pub fn permits_literal(&self, ip: IpAddr) -> bool {
        let is_nat64 = matches!(ip, IpAddr::V6(ip) if NAT64.contains(&ip));
        (is_public(ip) && !is_nat64) || self.is_allowed(ip)
    }

    /// Under the NAT64 prefix the address that is embedded has to be permitted, too: who allows the prefix has a
    /// gateway, and not every private address behind it in mind.
    fn is_allowed(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let is_in_allowed = self.allow.iter().any(|net| net.contains(&ip));
        let is_embedded_permitted = match ip {
            IpAddr::V6(ip) if NAT64.contains(&ip) => self.permits(embedded_v4(ip).into()),
            IpAddr::V4(_) | IpAddr::V6(_) => true,
        };
        is_in_allowed && is_embedded_permitted
    }
}

/// Rewrites an IPv4-mapped network as the IPv4 network it means; addresses are compared unwrapped
/// and would never match it otherwise.
fn canonical_network(net: IpNet) -> IpNet {
    let IpNet::V6(mapped) = net else { return net };
    if !V4_MAPPED.contains(&mapped) {
        return net;
    }
    Ipv4Net::new(
        embedded_v4(mapped.addr()),
        mapped.prefix_len() - V4_MAPPED.prefix_len(),
    )
    .map_or(net, IpNet::V4)
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !REFUSED_V4.iter().any(|net| net.contains(&ip))
}

/// The IPv4 address in the last 32 bits.
fn embedded_v4(ip: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = ip.octets();
    Ipv4Addr::new(a, b, c, d)
}

const fn v4([a, b, c, d]: [u8; 4], prefix_len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix_len)
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], prefix_len: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix_len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("a test address parses")
    }

    fn guard(networks: &[&str]) -> AddressGuard {
        let parse = |text: &&str| text.parse().expect("a test network parses");
        AddressGuard::new(networks.iter().map(parse).collect())
    }

    #[test]
    fn ordinary_addresses_are_public() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "168.63.129.15",
            "172.15.255.255",
            "172.32.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(is_public(ip(text)), "{text} is public");
        }
    }

    #[test]
    fn special_addresses_are_not_public() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.9",
            "192.0.2.1",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.99.1",
            "192.168.1.1",
            "192.175.48.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:808:808::1",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(ip(text)), "{text} is not public");
        }
    }

    #[test]
    fn allowed_networks_are_permitted_in_both_notations() {
        for networks in [["127.0.0.0/8"], ["::ffff:127.0.0.0/104"]] {
            let guard = guard(&networks);
            assert!(guard.permits(ip("127.0.0.1")));
            assert!(guard.permits_literal(ip("::ffff:127.0.0.1")));
            assert!(!guard.permits(ip("10.0.0.1")));
            assert!(!guard.permits(ip("::1")));
        }
    }

    #[test]
    fn nat64_literal_is_refused_unless_allowed() {
        let literal = ip("64:ff9b::8.8.8.8");
        assert!(guard(&[]).permits(literal));
        assert!(!guard(&[]).permits_literal(literal));
        assert!(guard(&["64:ff9b::/96"]).permits_literal(literal));
    }

    #[test]
    fn allowing_nat64_allows_no_private_address_behind_it() {
        let embedded = ip("64:ff9b::10.0.0.1");
        for networks in [&["64:ff9b::/96"][..], &["10.0.0.0/8"], &["::/0"]] {
            assert!(!guard(networks).permits(embedded), "{networks:?}");
            assert!(!guard(networks).permits_literal(embedded), "{networks:?}");
        }
        let both = guard(&["64:ff9b::/96", "10.0.0.0/8"]);
        assert!(both.permits(embedded) && both.permits_literal(embedded));
    }

    proptest! {
        #[test]
        fn no_address_that_std_calls_special_is_public(bits: u32) {
            let ip = Ipv4Addr::from_bits(bits);
            let is_special = ip.is_unspecified() || ip.is_loopback() || ip.is_private()
                || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast()
                || ip.is_documentation();
            prop_assert!(!(is_special && is_public(ip.into())));
        }

        #[test]
        fn every_address_of_a_refused_network_is_refused(index in 0..REFUSED_V4.len(), bits: u32) {
            let net = REFUSED_V4[index];
            let ip = net.network().to_bits() | (bits & net.hostmask().to_bits());
            prop_assert!(!is_public(Ipv4Addr::from_bits(ip).into()));
        }

        #[test]
        fn wrapped_addresses_are_judged_by_what_they_wrap(bits: u32) {
            let plain = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = plain.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
            prop_assert_eq!(is_public(plain.to_ipv6_mapped().into()), is_public(plain.into()));
            prop_assert_eq!(is_public(nat64.into()), is_public(plain.into()));
            prop_assert!(!AddressGuard::default().permits_literal(nat64.into()));
        }

        #[test]
        fn ipv6_outside_global_unicast_is_never_public(bits: u128) {
            let ip = Ipv6Addr::from_bits(bits & !(0b111 << 125));
            prop_assume!(!NAT64.contains(&ip) && !V4_MAPPED.contains(&ip));
            prop_assert!(!is_public(ip.into()));
        }

        #[test]
        fn allowing_a_network_takes_nothing_away(bits: u128) {
            let ip = IpAddr::from(Ipv6Addr::from_bits(bits));
            prop_assert!(guard(&["10.0.0.0/8"]).permits(ip) || !is_public(ip));
        }
    }
}
