//! The resolver against a name server that answers what it likes.

use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, rdata};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::*;

/// Longer than anything that goes well takes, and shorter than a name server is waited for.
const PATIENCE: Duration = Duration::from_secs(4);

/// A name server. Names under `silent.example` get no answer, nor do questions for AAAA under `v4only.here.example`;
/// those under `here.example` one IPv4 address, others do not exist.
struct NameServer {
    port: u16,
    _serving: JoinSet<()>,
}

impl NameServer {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let port = socket.local_addr().expect("its address").port();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok((bytes, peer)) = socket.recv_from(&mut buffer).await {
                let question = Message::from_vec(&buffer[..bytes]).expect("a question");
                if let Some(answer) = answer(&question) {
                    let answer = answer.to_vec().expect("encoded");
                    let _ = socket.send_to(&answer, peer).await;
                }
            }
        });
        Self {
            port,
            _serving: serving,
        }
    }

    fn resolver(&self, names: Names, hosts: &str) -> Resolver {
        let mut udp = ConnectionConfig::udp();
        udp.port = self.port;
        let here = NameServerConfig::new(std::net::Ipv4Addr::LOCALHOST.into(), true, vec![udp]);
        let search = vec![Name::from_ascii("here.example.").expect("a name")];
        let config = ResolverConfig::from_parts(None, search, vec![here]);
        let mut file = Hosts::default();
        file.read_hosts_conf(hosts.as_bytes()).expect("read");
        let system = System::new(config, ResolverOpts::default(), file).expect("usable");
        Resolver::new(names, system)
    }
}

fn answer(question: &Message) -> Option<Message> {
    let query = question.queries.first()?;
    let name = query.name().to_lowercase();
    let is_under = |zone: &str| Name::from_ascii(zone).expect("a zone").zone_of(&name);
    let is_aaaa = query.query_type() == RecordType::AAAA;
    if is_under("silent.example.") || (is_aaaa && is_under("v4only.here.example.")) {
        return None;
    }
    let mut answer = Message::response(question.id, question.op_code);
    answer.add_query(query.clone());
    if !is_under("here.example.") {
        answer.metadata.response_code = ResponseCode::NXDomain;
    } else if query.query_type() == RecordType::A {
        let data = RData::A(rdata::A::new(192, 0, 2, 1));
        answer.add_answer(Record::from_rdata(query.name().clone(), 60, data));
    }
    Some(answer)
}

async fn look_up(resolver: &Resolver, host: &str) -> Result<Vec<String>, BoxError> {
    let host = host.parse().expect("a name");
    let found = resolver.clone().call(host).await?;
    Ok(found.map(|address| address.ip().to_string()).collect())
}

/// Lookups of names that are never answered.
fn wait_in_vain(resolver: &Resolver) -> JoinSet<Result<Vec<String>, BoxError>> {
    let mut waiting = JoinSet::new();
    for host in 0..200 {
        let resolver = resolver.clone();
        waiting.spawn(async move { look_up(&resolver, &format!("{host}.silent.example")).await });
    }
    waiting
}

#[tokio::test]
async fn a_zone_that_never_answers_holds_up_no_lookup_of_another() {
    let server = NameServer::start().await;
    let resolver = server.resolver(Names::Absolute, "");
    let mut waiting = wait_in_vain(&resolver);
    tokio::task::yield_now().await;
    let found = look_up(&resolver, "receiver.here.example");
    let found = tokio::time::timeout(PATIENCE, found).await;
    let found = found.expect("in time").expect("resolved");
    assert_eq!(found, ["192.0.2.1"]);
    assert!(waiting.try_join_next().is_none(), "they still wait");
}

/// Waits until this process has open files as `condition` says. Other tests may run in it, which open a few.
async fn wait_for_open_files(condition: impl Fn(usize) -> bool) -> usize {
    let open_files = || std::fs::read_dir("/proc/self/fd").expect("listed").count();
    let waiting = async {
        while !condition(open_files()) {
            tokio::task::yield_now().await;
        }
        open_files()
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.expect("so many files are open")
}

#[tokio::test]
async fn a_lookup_that_nobody_waits_for_any_more_holds_nothing() {
    let server = NameServer::start().await;
    let resolver = server.resolver(Names::Absolute, "");
    let before = wait_for_open_files(|_| true).await;
    let mut waiting = wait_in_vain(&resolver);
    let open = wait_for_open_files(|open| open > before + 150).await;
    waiting.shutdown().await;
    wait_for_open_files(|now| now < open - 100).await;
}

#[tokio::test]
async fn names_are_searched_for_only_where_networks_are_allowed() {
    let server = NameServer::start().await;
    for (names, host, expected) in [
        (Names::Searched, "redis", true),
        (Names::Absolute, "redis", false),
        (Names::Absolute, "redis.here.example", true),
        (Names::Searched, "redis.other.example.", false),
    ] {
        let resolver = server.resolver(names, "");
        let found = look_up(&resolver, host).await;
        assert_eq!(found.is_ok(), expected, "{names:?} {host}: {found:?}");
    }
}

#[tokio::test]
async fn what_stands_in_the_hosts_file_is_not_asked_for() {
    let server = NameServer::start().await;
    let hosts = "10.1.2.3 receiver.here.example # a comment\n::1 six\n127.0.0.1 LocalHost\n";
    let resolver = server.resolver(Names::Absolute, hosts);
    for (host, expected) in [
        ("receiver.here.example", "10.1.2.3"),
        ("receiver.here.example.", "10.1.2.3"),
        ("six", "::1"),
        ("localhost", "127.0.0.1"),
    ] {
        let found = look_up(&resolver, host).await.expect("resolved");
        assert_eq!(found, [expected], "{host}");
    }
}

#[tokio::test]
async fn name_server_that_never_answers_for_the_other_family_is_not_waited_for() {
    let server = NameServer::start().await;
    let resolver = server.resolver(Names::Absolute, "");
    let found = look_up(&resolver, "receiver.v4only.here.example");
    let found = tokio::time::timeout(PATIENCE, found).await;
    assert_eq!(found.expect("in time").expect("resolved"), ["192.0.2.1"]);
}
