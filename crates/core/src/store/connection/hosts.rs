//! The hosts of a URL, one at a time.
//!
//! The driver's own deadline for connecting covers the TCP handshake alone. A server that is frozen still shakes hands,
//! its kernel does; the driver then waits for ever and never comes to the next host. So each host is tried as if it
//! were the only one, all of it under one deadline.

use tokio_postgres::Config;
use tokio_postgres::config::{Host, TargetSessionAttrs};

/// One configuration for each host, in their order, with everything else that the URL says.
///
/// Of several hosts only one that takes writes is wanted, whatever the URL says: Reprise writes, and a standby would
/// refuse everything for as long as the connection lives.
pub(super) fn one_by_one(config: &Config) -> Vec<Config> {
    let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
    let count = hosts.len().max(addresses.len());
    let wanted = if count > 1 {
        TargetSessionAttrs::ReadWrite
    } else {
        config.get_target_session_attrs()
    };
    let alone = |index: usize| {
        let mut one = without_hosts(config);
        one.target_session_attrs(wanted);
        match hosts.get(index) {
            Some(Host::Tcp(name)) => {
                one.host(name);
            }
            Some(Host::Unix(path)) => {
                one.host_path(path);
            }
            None => {}
        }
        if let Some(address) = addresses.get(index) {
            one.hostaddr(*address);
        }
        // One port stands for all hosts.
        let ports = config.get_ports();
        if let Some(port) = ports.get(index).or_else(|| ports.first()) {
            one.port(*port);
        }
        one
    };
    (0..count).map(alone).collect()
}

fn without_hosts(config: &Config) -> Config {
    let mut bare = Config::new();
    if let Some(user) = config.get_user() {
        bare.user(user);
    }
    if let Some(password) = config.get_password() {
        bare.password(password);
    }
    if let Some(name) = config.get_dbname() {
        bare.dbname(name);
    }
    if let Some(options) = config.get_options() {
        bare.options(options);
    }
    if let Some(name) = config.get_application_name() {
        bare.application_name(name);
    }
    bare.ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .channel_binding(config.get_channel_binding());
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Vec<Config> {
        one_by_one(&url.parse().expect("a URL"))
    }

    #[test]
    fn each_host_stands_alone_with_its_port_and_all_else() {
        let hosts = parsed(
            "postgres://user:hunter2@one:1111,two:2222/reprise?application_name=x&sslmode=require&options=-cjit%3Doff",
        );
        let seen = |config: &Config| (config.get_hosts().to_vec(), config.get_ports().to_vec());
        assert_eq!(hosts.len(), 2);
        for (config, (name, port)) in hosts.iter().zip([("one", 1111), ("two", 2222)]) {
            assert_eq!(seen(config), (vec![Host::Tcp(name.to_owned())], vec![port]));
            assert_eq!(config.get_user(), Some("user"));
            assert_eq!(config.get_password(), Some(b"hunter2".as_slice()));
            assert_eq!(config.get_dbname(), Some("reprise"));
            assert_eq!(config.get_application_name(), Some("x"));
            assert_eq!(config.get_options(), Some("-cjit=off"));
            assert_eq!(
                config.get_ssl_mode(),
                tokio_postgres::config::SslMode::Require
            );
        }
    }

    #[test]
    fn of_several_hosts_only_one_that_takes_writes_is_wanted() {
        let wanted = |url| parsed(url)[0].get_target_session_attrs();
        let any = "postgres://one/reprise";
        assert_eq!(wanted(any), TargetSessionAttrs::Any);
        let several = "postgres://one,two/reprise";
        assert_eq!(wanted(several), TargetSessionAttrs::ReadWrite);
        let one_of_one = "postgres://one/reprise?target_session_attrs=read-write";
        assert_eq!(wanted(one_of_one), TargetSessionAttrs::ReadWrite);
    }

    #[test]
    fn one_port_stands_for_all_hosts() {
        let hosts = parsed("host=one,two port=6543 user=ann");
        assert!(hosts.iter().all(|config| config.get_ports() == [6543]));
    }
}
