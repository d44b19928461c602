//! Two hosts and a router between them, made of network namespaces: packets that the router drops are gone, and it is
//! the operating system that finds out.

use std::{
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
};

use crate::sandbox::{is_inside, must};

/// Where the test and what it started without saying where are, seen from the far host.
pub const HOME: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The same host; a test lets PostgreSQL listen there, so that the way to it can be cut and no other.
pub const POSTGRES: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 5);
/// The same host, for a receiver.
pub const RECEIVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 8);
/// The far host.
pub const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// All of the addresses above. (RFC 5737: addresses that are nobody's.)
pub const NETWORKS: &str = "192.0.2.0/24,198.51.100.0/24";

/// The router, and the host behind it. Gone when dropped.
#[derive(Debug)]
pub struct Network {
    router: Host,
    far: Host,
}

/// A network namespace. It lasts as long as its first process, which ends when we do.
#[derive(Debug)]
pub struct Host(Child);

impl Network {
    /// Lays the cables.
    ///
    /// # Panics
    ///
    /// Outside of a [`sandbox`](crate::sandbox), where it would change the machine's own network, or without `ip`
    /// (iproute2).
    #[must_use]
    pub fn build() -> Self {
        assert!(
            is_inside(),
            "the machine's own network is not a test's to change"
        );
        let network = Self {
            router: Host::new(),
            far: Host::new(),
        };
        network.lay_cables();
        network.give_addresses();
        network.open_ways();
        network
    }

    /// Between us and the router (`home`, `near`), and between it and the far host (`away`, `far`).
    fn lay_cables(&self) {
        let (router, far) = (self.router.pid(), self.far.pid());
        let cable = |one, other| ["link", "add", one, "type", "veth", "peer", "name", other];
        let near = [&cable("home", "near")[..], &["netns", &router]].concat();
        must("ip", &near);
        let away = [&cable("away", "far")[..], &["netns", &far]].concat();
        self.router.must("ip", &away);
        must("ip", &["link", "set", "home", "up"]);
        let router = [(&self.router, "near"), (&self.router, "away")];
        let far = [(&self.far, "far"), (&self.far, "lo")];
        for (host, device) in [router, far].concat() {
            host.must("ip", &["link", "set", device, "up"]);
        }
    }

    fn give_addresses(&self) {
        for address in [HOME, POSTGRES, RECEIVER] {
            let address = format!("{address}/24");
            must("ip", &["address", "add", &address, "dev", "home"]);
        }
        let far = format!("{FAR}/24");
        for (host, address, device) in [
            (&self.router, "192.0.2.254/24", "near"),
            (&self.router, "198.51.100.254/24", "away"),
            (&self.far, &far, "far"),
        ] {
            host.must("ip", &["address", "add", address, "dev", device]);
        }
    }

    /// Each side is told of the other, and the router to carry what is for neither itself.
    fn open_ways(&self) {
        let way = |to, via| ["route", "add", to, "via", via];
        must("ip", &way("198.51.100.0/24", "192.0.2.254"));
        let back = way("192.0.2.0/24", "198.51.100.254");
        self.far.must("ip", &back);
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        self.router.must("sh", &["-c", forward]);
    }

    /// The host behind the router.
    #[must_use]
    pub fn far(&self) -> &Host {
        &self.far
    }

    /// Drops all packets from one address to another from now on, and tells nobody.
    ///
    /// # Panics
    ///
    /// When `ip` fails.
    pub fn cut(&self, from: Ipv4Addr, to: Ipv4Addr) {
        self.rule("add", from, to);
    }

    /// Lets the packets of [`cut`](Self::cut) through again.
    ///
    /// # Panics
    ///
    /// When they were not cut.
    pub fn heal(&self, from: Ipv4Addr, to: Ipv4Addr) {
        self.rule("delete", from, to);
    }

    fn rule(&self, action: &str, from: Ipv4Addr, to: Ipv4Addr) {
        let (from, to) = (from.to_string(), to.to_string());
        self.router.must(
            "ip",
            &["rule", action, "from", &from, "to", &to, "blackhole"],
        );
    }
}

impl Host {
    fn new() -> Self {
        // It says a word when it is there, and ends when we close its input.
        let mut child = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", "echo there; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare could be run for the sandbox");
        let output = child.stdout.as_mut().expect("it is piped");
        let mut word = String::new();
        let read = BufReader::new(output).read_line(&mut word);
        assert!(word == "there\n", "no namespace: {read:?}");
        Self(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    /// What stands before a command that is to run there; it is replaced by the command, and keeps its process id.
    pub(crate) fn entrance(&self) -> [String; 3] {
        let namespace = format!("--net=/proc/{}/ns/net", self.0.id());
        ["nsenter".to_owned(), namespace, "--".to_owned()]
    }

    fn must(&self, program: &str, arguments: &[&str]) {
        let entrance = self.entrance();
        let entrance: Vec<&str> = entrance.iter().map(String::as_str).collect();
        let arguments = [&entrance[1..], &[program], arguments].concat();
        must(entrance[0], &arguments);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
