//! How many connections each client address has.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use prometheus_client::metrics::counter::Counter;
use tracing::warn;

use crate::client_address::site;

/// How often it is logged that connections are refused: often enough to be seen beside what fails by it, and not once
/// for each connection of somebody who tries thousands.
const WARN_INTERVAL: Duration = Duration::from_mins(1);

/// The places that connections take.
#[derive(Debug)]
pub struct Places {
    /// Connections of one address at most; 0 for any number.
    per_address: u32,
    /// Whose connections are not counted: many clients stand behind one proxy.
    exempt: Vec<IpNet>,
    refused: Counter,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    by_address: HashMap<IpAddr, u32>,
    warned_at: Option<Instant>,
}

/// A place that a connection has until it is dropped.
#[derive(Debug)]
pub struct Place {
    /// None where it is not counted.
    counted: Option<(Arc<Places>, IpAddr)>,
}

impl Places {
    /// So many places for each address, but for those of the networks, whose connections are not counted.
    pub fn new(per_address: u32, exempt: Vec<IpNet>, refused: Counter) -> Arc<Self> {
        Arc::new(Self {
            per_address,
            exempt,
            refused,
            taken: Mutex::default(),
        })
    }

    /// A place for a connection, unless its address has all of its own. Of IPv6 the network of a site counts as one
    /// address.
    pub fn take(self: &Arc<Self>, peer: SocketAddr) -> Option<Place> {
        let address = peer.ip().to_canonical();
        let is_exempt = self.exempt.iter().any(|network| network.contains(&address));
        if self.per_address == 0 || is_exempt {
            return Some(Place { counted: None });
        }
        let address = site(address);
        let mut taken = self.lock();
        let count = taken.by_address.entry(address).or_default();
        if *count >= self.per_address {
            self.refuse(&mut taken, address);
            return None;
        }
        *count += 1;
        Some(Place {
            counted: Some((Arc::clone(self), address)),
        })
    }

    fn refuse(&self, taken: &mut Taken, address: IpAddr) {
        self.refused.inc();
        let is_due = |at: Instant| at.elapsed() >= WARN_INTERVAL;
        if taken.warned_at.is_none_or(is_due) {
            taken.warned_at = Some(Instant::now());
            warn!(
                client.address = %address,
                "Refusing connections: {} of one address are open (REPRISE_MAX_CONNECTIONS_PER_ADDRESS; \
                 name proxies in REPRISE_TRUSTED_PROXIES)",
                self.per_address,
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((places, address)) = &self.counted else {
            return;
        };
        let mut taken = places.lock();
        if let Some(count) = taken.by_address.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().expect("an address"), 4711)
    }

    fn places(per_address: u32) -> Arc<Places> {
        let exempt = vec!["10.0.0.0/8".parse().expect("a network")];
        Places::new(per_address, exempt, Counter::default())
    }

    #[test]
    fn an_address_has_its_places_and_no_more_until_one_is_given_back() {
        let places = places(2);
        let first = places.take(peer("192.0.2.1")).expect("a place");
        let second = places.take(peer("::ffff:192.0.2.1")).expect("a place");
        assert!(places.take(peer("192.0.2.1")).is_none());
        assert!(places.take(peer("192.0.2.2")).is_some(), "another address");
        assert_eq!(places.refused.get(), 1);
        drop(first);
        assert!(places.take(peer("192.0.2.1")).is_some());
        drop(second);
        assert!(places.lock().by_address.is_empty(), "nobody is remembered");
    }

    #[test]
    fn a_site_of_ipv6_is_one_address() {
        let places = places(1);
        let _place = places.take(peer("2001:db8:1:2::1")).expect("a place");
        assert!(places.take(peer("2001:db8:1:2:3:4:5:6")).is_none());
        assert!(places.take(peer("2001:db8:1:3::1")).is_some());
    }

    #[test]
    fn proxies_have_any_number_and_so_has_everybody_with_zero() {
        let limited = places(1);
        let open: Vec<_> = (0..9)
            .filter_map(|_| limited.take(peer("10.0.0.1")))
            .collect();
        assert_eq!(open.len(), 9);
        let unlimited = places(0);
        let open: Vec<_> = (0..9)
            .filter_map(|_| unlimited.take(peer("192.0.2.1")))
            .collect();
        assert_eq!(open.len(), 9);
    }
}
