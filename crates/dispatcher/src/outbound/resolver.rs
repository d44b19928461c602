//! Looking up names.
//!
//! Not by `getaddrinfo`: each of its lookups holds a thread until the name servers have answered or were given up,
//! which takes ten seconds and more however short an attempt's deadline is. A tenant whose name servers never answer
//! would take all threads from the others. Here a lookup is a future with a socket of its own: it holds nothing else,
//! and ends when nobody waits for it any more. At once for the same name there is one.
//!
//! What `getaddrinfo` would do is done here, too: `/etc/hosts` comes before DNS, and both files are read again. Other
//! sources of `nsswitch.conf` are not asked.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::select;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};
use hyper_util::client::legacy::connect::dns;
use tokio::time::timeout;
use tower_service::Service;
use tracing::warn;

use super::guard::BoxError;

#[cfg(test)]
mod tests;

/// How often the system's configuration is read again, and what is known of names forgotten. Longer, and a changed
/// `/etc/resolv.conf` or `/etc/hosts` is noticed late; shorter, and name servers are asked more often than answers'
/// times to live ask for.
const REREAD_INTERVAL: Duration = Duration::from_secs(30);
/// How long it is remembered that a name has no address. Longer, and a receiver whose name was made a moment ago has
/// its first retries fail, too; shorter, and a name that is gone is asked for at each of its deliveries.
const NEGATIVE_TTL: Duration = Duration::from_secs(1);

/// How long the addresses of the other family are waited for, once those of one are there. Some name servers never
/// answer questions for AAAA, and giving them up takes as long as an attempt may (RFC 8305 section 3 waits 50 ms).
/// Longer, and such receivers get each request late; shorter, and on a slow network an address is not judged that
/// should be.
const OTHER_FAMILY_WAIT: Duration = Duration::from_millis(300);

/// How a name is understood that does not end in a dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// As it stands. A search list would lead the names of tenants' URLs to services inside (`redis` to
    /// `redis.default.svc.cluster.local`).
    Absolute,
    /// With the domains of `/etc/resolv.conf`, for receivers inside that the operator allows.
    Searched,
}

/// Resolves names as the system is configured to.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    names: Names,
    system: Arc<Mutex<System>>,
}

/// The system's configuration, as it was read.
#[derive(Clone, Debug)]
struct System {
    dns: TokioResolver,
    hosts: Arc<Hosts>,
    read_at: Instant,
}

impl Resolver {
    /// Reads the system's configuration.
    ///
    /// # Errors
    ///
    /// What is configured can't be used.
    pub(super) fn from_system(names: Names) -> Result<Self, NetError> {
        let (config, options) = read_system_conf().unwrap_or_else(|error| {
            warn!("No name server is configured, asking the one on this machine: {error}");
            (local_name_server(), ResolverOpts::default())
        });
        Ok(Self::new(
            names,
            System::new(config, options, hosts_file())?,
        ))
    }

    fn new(names: Names, system: System) -> Self {
        Self {
            names,
            system: Arc::new(Mutex::new(system)),
        }
    }

    /// The configuration, read again when it is time to. Two small local files: not worth a thread.
    fn system(&self) -> System {
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        if system.read_at.elapsed() >= REREAD_INTERVAL {
            match System::read() {
                Ok(read) => *system = read,
                Err(error) => {
                    warn!("The name servers can't be read again, keeping those known: {error}");
                    system.read_at = Instant::now();
                }
            }
        }
        system.clone()
    }
}

/// What resolv.conf(5) says where it names no server.
fn local_name_server() -> ResolverConfig {
    let here = NameServerConfig::udp_and_tcp(std::net::Ipv4Addr::LOCALHOST.into());
    ResolverConfig::from_name_servers(vec![here])
}

/// `/etc/hosts`. Without it names are looked up in DNS alone, which is told.
fn hosts_file() -> Hosts {
    Hosts::from_system().unwrap_or_else(|error| {
        warn!("/etc/hosts can't be read, names are looked up in DNS alone: {error}");
        Hosts::default()
    })
}

impl System {
    fn read() -> Result<Self, NetError> {
        let (config, options) = read_system_conf()?;
        Self::new(config, options, hosts_file())
    }

    fn new(
        config: ResolverConfig,
        mut options: ResolverOpts,
        hosts: Hosts,
    ) -> Result<Self, NetError> {
        options.negative_max_ttl = Some(NEGATIVE_TTL);
        // Asked here: there, a name with one family in the file would be asked for the other one in DNS.
        options.use_hosts_file = ResolveHosts::Never;
        let provider = TokioRuntimeProvider::default();
        let builder = TokioResolver::builder_with_config(config, provider).with_options(options);
        Ok(Self {
            dns: builder.build()?,
            hosts: Arc::new(hosts),
            read_at: Instant::now(),
        })
    }

    /// The addresses of a host, IPv4 first: a machine without IPv6 then loses no time, and one without IPv4 notices at
    /// once.
    ///
    /// Cancel safety: dropping the future ends the lookup, unless somebody else waits for the same name.
    async fn look_up(self, host: &str, names: Names) -> Result<Vec<SocketAddr>, NetError> {
        let mut name = Name::from_ascii(host)?;
        let in_file = self.in_hosts(&name);
        if !in_file.is_empty() {
            return Ok(in_file);
        }
        if names == Names::Absolute {
            name.set_fqdn(true);
        }
        let mut addresses = self.in_dns(&name).await?;
        addresses.sort_by_key(SocketAddr::is_ipv6);
        Ok(addresses)
    }

    /// The addresses of both families: all are judged, so all are asked for.
    async fn in_dns(&self, name: &Name) -> Result<Vec<SocketAddr>, NetError> {
        let of = async |record_type| {
            let found = self.dns.lookup(name.clone(), record_type).await?;
            Ok(addresses(found.answers()))
        };
        let (v4, v6) = (pin!(of(RecordType::A)), pin!(of(RecordType::AAAA)));
        let (first, other): (Result<Vec<_>, NetError>, _) = select(v4, v6).await.factor_first();
        let mut found = match first {
            Ok(found) if !found.is_empty() => found,
            nothing => return other.await.or(nothing),
        };
        if let Ok(Ok(others)) = timeout(OTHER_FAMILY_WAIT, other).await {
            found.extend(others);
        }
        Ok(found)
    }

    /// What stands in `/etc/hosts`.
    fn in_hosts(&self, name: &Name) -> Vec<SocketAddr> {
        let of_type = |record_type| {
            let query = Query::query(name.clone(), record_type);
            self.hosts.lookup_static_host(&query)
        };
        let found = [RecordType::A, RecordType::AAAA].into_iter();
        let found = found.filter_map(of_type);
        found
            .flat_map(|lookup| addresses(lookup.answers()))
            .collect()
    }
}

fn addresses(records: &[Record]) -> Vec<SocketAddr> {
    let ips = records.iter().filter_map(|record| record.data.ip_addr());
    ips.map(|ip| SocketAddr::new(ip, 0)).collect()
}

impl Service<dns::Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, host: dns::Name) -> Self::Future {
        let (system, names) = (self.system(), self.names);
        Box::pin(async move {
            let addresses = system.look_up(host.as_str(), names).await?;
            Ok(addresses.into_iter())
        })
    }
}
