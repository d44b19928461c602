//! The resolver against a name server that answers what it likes.

use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, rdata};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::*;

/// A name server. Names under `silent.example` get no answer, those under `here.example` one IPv4 address, others do not
/// exist.
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
    if is_under("silent.example.") {
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

#[tokio::test]
async fn a_zone_that_never_answers_holds_up_no_lookup_of_another() {
    let server = NameServer::start().await;
    let resolver = server.resolver(Names::Absolute, "");
    let mut waiting = JoinSet::new();
    for host in 0..1_000 {
        let resolver = resolver.clone();
        waiting.spawn(async move { look_up(&resolver, &format!("{host}.silent.example")).await });
    }
    tokio::task::yield_now().await;
    let found = look_up(&resolver, "receiver.here.example").await;
    assert_eq!(found.expect("resolved"), ["192.0.2.1"]);
    assert_eq!(waiting.len(), 1_000);
    assert!(waiting.try_join_next().is_none(), "they still wait");
}

/// Files that this process has open.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("listed").count()
}

#[tokio::test]
async fn a_lookup_that_nobody_waits_for_any_more_holds_nothing() {
    let server = NameServer::start().await;
    let resolver = server.resolver(Names::Absolute, "");
    let before = open_files();
    let mut waiting = JoinSet::new();
    for host in 0..50 {
        let resolver = resolver.clone();
        waiting.spawn(async move { look_up(&resolver, &format!("{host}.silent.example")).await });
    }
    while open_files() < before + 50 {
        tokio::task::yield_now().await;
    }
    waiting.shutdown().await;
    while open_files() > before + 10 {
        tokio::task::yield_now().await;
    }
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
