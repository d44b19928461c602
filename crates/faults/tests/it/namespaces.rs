//! Cables that are cut under load: between hosts made of network namespaces packets vanish, one way or both, and the
//! time-outs and retransmissions are the operating system's own. `network.rs` has the same with a relay that needs no
//! root.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use reprise_faults::stage::{MAX_IN_FLIGHT, PATIENCE, Setting, Stage, tell};
use reprise_testkit::cluster::Cluster;
use reprise_testkit::journal::Journal;
use reprise_testkit::network::{FAR, NETWORKS, Network, POSTGRES, RECEIVER};
use reprise_testkit::receiver::{Answer, Receiver};
use reprise_testkit::sandbox;

/// What vanishes: what the far host sends, what is sent to it, or both.
const CUTS: [&str; 3] = ["to", "from", "to and from"];
/// How long a cable is cut at least: longer than a connection to PostgreSQL may be silent
/// (`SILENCE_TIMEOUT` of `core/src/store/connection.rs`), so that both ends give it up.
const CUT_FOR: Duration = Duration::from_secs(30);
/// The longest that a caller waits for an answer: the deadline of a publication, and some for a busy machine.
const SLOWEST_ANSWER: Duration = Duration::from_secs(20);

/// Everything at home, and a host far away.
struct Scene {
    network: Network,
    stage: Stage,
    _cluster: Cluster,
    /// PostgreSQL, as the far host calls it.
    url: String,
}

impl Scene {
    async fn set(dispatchers: usize) -> Self {
        let network = Network::build();
        let listen = format!("127.0.0.1,{POSTGRES}");
        let cluster = Cluster::start_with(&[("listen_addresses", &listen)]).await;
        cluster.admit("198.51.100.0/24").await;
        let url = cluster.url().replace("127.0.0.1", &POSTGRES.to_string());
        // Slow, so that something is in flight at any moment.
        let delay = Duration::from_millis(200);
        let receiver = Receiver::start_without_record_at(RECEIVER.into()).await;
        let journal = Journal::over(receiver, move |_| Answer::status(200).delay(delay));
        let setting = Setting {
            dispatchers,
            ..Setting::default()
        };
        let environment = [("REPRISE_ALLOW_NETWORKS", NETWORKS)];
        let stage = Stage::start_to(cluster.url(), &setting, &environment, journal).await;
        Self {
            network,
            stage,
            _cluster: cluster,
            url,
        }
    }

    /// Cuts the cable between the far host and an address at home.
    fn cut(&self, which: &str, home: Ipv4Addr) {
        for (from, to) in directions(which, home) {
            self.network.cut(from, to);
        }
    }

    fn heal(&self, which: &str, home: Ipv4Addr) {
        for (from, to) in directions(which, home) {
            self.network.heal(from, to);
        }
    }
}

fn directions(which: &str, home: Ipv4Addr) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    match which {
        "to" => vec![(FAR, home)],
        "from" => vec![(home, FAR)],
        _ => vec![(FAR, home), (home, FAR)],
    }
}

/// Runs a test of this file, each cut in a sandbox of its own.
fn each_cut(test: &str, work: impl AsyncFnOnce(&str)) {
    sandbox::run(&format!("namespaces::{test}"), &CUTS, work);
}

#[test]
fn api_whose_cable_to_postgresql_is_cut_says_so_and_stores_nothing_twice() {
    each_cut(
        "api_whose_cable_to_postgresql_is_cut_says_so_and_stores_nothing_twice",
        async |which| {
            let mut scene = Scene::set(1).await;
            let far = scene.network.far();
            scene.stage.replace_api_on(far, &scene.url).await;
            scene.stage.wait_for_more(20).await;
            let began = Instant::now();
            scene.cut(which, POSTGRES);
            // What PostgreSQL had taken and answered before is through, then.
            scene.stage.wait_for_refusals(5).await;
            let accepted = scene.stage.publisher.accepted();
            tokio::time::sleep_until((began + CUT_FOR).into()).await;
            let meanwhile = scene.stage.publisher.accepted() - accepted;
            scene.heal(which, POSTGRES);
            scene.stage.wait_for_more(20).await;
            let verdict = scene.stage.settle().await;
            tell(&format!("API: cable {which} PostgreSQL cut"), 0, &verdict);
            verdict.hold(0);
            assert_eq!(meanwhile, 0, "accepted without PostgreSQL");
            assert!(verdict.slowest < SLOWEST_ANSWER, "{verdict}");
        },
    );
}

#[test]
fn dispatcher_whose_cable_to_postgresql_is_cut_is_replaced_and_loses_nothing() {
    each_cut(
        "dispatcher_whose_cable_to_postgresql_is_cut_is_replaced_and_loses_nothing",
        async |which| {
            let mut scene = Scene::set(1).await;
            let cut_off = scene
                .stage
                .dispatcher_on(scene.network.far(), &scene.url)
                .await;
            scene.stage.wait_until_busy(&cut_off).await;
            let began = Instant::now();
            scene.cut(which, POSTGRES);
            scene.stage.wait_until_judged(&cut_off).await;
            scene.stage.wait_for_more(20).await;
            tokio::time::sleep_until((began + CUT_FOR).into()).await;
            scene.heal(which, POSTGRES);
            // It takes part again.
            scene.stage.wait_until_busy(&cut_off).await;
            scene.stage.dispatchers.push(cut_off);
            scene.stage.wait_for_more(20).await;
            let verdict = scene.stage.settle().await;
            tell(
                &format!("dispatcher: cable {which} PostgreSQL cut"),
                MAX_IN_FLIGHT,
                &verdict,
            );
            verdict.hold(MAX_IN_FLIGHT);
        },
    );
}

#[test]
fn dispatcher_whose_cable_to_receivers_is_cut_sends_again_when_it_is_mended() {
    each_cut(
        "dispatcher_whose_cable_to_receivers_is_cut_sends_again_when_it_is_mended",
        async |which| {
            let mut scene = Scene::set(0).await;
            let only = scene
                .stage
                .dispatcher_on(scene.network.far(), &scene.url)
                .await;
            scene.stage.dispatchers.push(only);
            scene.stage.wait_for_more(20).await;
            let began = Instant::now();
            scene.cut(which, RECEIVER);
            // More than were in flight: some of them find that there is no new connection to be had either.
            let failed = "SELECT (count(*) > 20)::int FROM attempts WHERE error_kind IS NOT NULL";
            scene.stage.sql.wait_for(failed, 1, PATIENCE).await;
            let cut_for = began.elapsed();
            scene.heal(which, RECEIVER);
            scene.stage.wait_for_more(20).await;
            let verdict = scene.stage.settle().await;
            tell(
                &format!("dispatcher: cable {which} receiver cut for {cut_for:.0?}"),
                MAX_IN_FLIGHT,
                &verdict,
            );
            verdict.hold(MAX_IN_FLIGHT);
        },
    );
}
