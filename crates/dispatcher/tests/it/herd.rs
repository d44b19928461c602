//! What comes back all at once after an outage: it is handed out a few at a time, and holds nobody up.

use std::time::Duration;

use reprise_core::ids::EndpointId;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Dispatcher;
use reprise_testkit::receiver::{Answer, Receiver};

use crate::world::{PATIENCE, World, retries, settings};

/// Deliveries that come back: more than there are permits.
const HERD: usize = 200;
/// What one endpoint may have in flight.
const AT_ONCE: usize = 4;
/// Deliveries that another endpoint gets meanwhile.
const FRESH: usize = 20;

/// A receiver with a herd of deliveries, which hangs as soon as these come back, and another that is well.
struct Stage {
    world: World,
    herding: Receiver,
    well: Receiver,
    endpoint: EndpointId,
    _database: TestDatabase,
    _dispatcher: Dispatcher,
}

impl Stage {
    /// The herd is there and its endpoint disabled, so that all of it is kept back.
    async fn create() -> Self {
        let database = TestDatabase::create().await;
        let world = World::create(database.url()).await;
        let (herding, well) = (Receiver::start().await, Receiver::start().await);
        herding.answer(Answer::hang());
        let mut patient = settings(&herding.url("/"));
        patient.timeout = Duration::from_mins(1);
        patient.retry = retries(&[Duration::from_hours(1)]);
        let endpoint = world.endpoint(&patient).await;
        for _ in 0..HERD {
            world.publish_quietly(b"{}").await;
        }
        world.disable(endpoint).await;
        let environment = [
            ("REPRISE_MAX_IN_FLIGHT", "64"),
            ("REPRISE_MAX_IN_FLIGHT_PER_ENDPOINT", "4"),
        ];
        let dispatcher = Dispatcher::start_with(database.url(), &environment).await;
        world.wait_for_kept_back(herd_count()).await;
        Self {
            world,
            herding,
            well,
            endpoint,
            _database: database,
            _dispatcher: dispatcher,
        }
    }

    /// While the herd has as much in flight as it may, the other receiver gets everything, one after the other, and the
    /// herding one no more.
    async fn fresh_deliveries_pass_by(&self) {
        self.herding.wait_for(AT_ONCE, PATIENCE).await;
        self.world.endpoint(&settings(&self.well.url("/"))).await;
        for sent in 1..=FRESH {
            self.world.publish(b"{}").await;
            self.well.wait_for(sent, PATIENCE).await;
        }
        assert_eq!(self.herding.received().len(), AT_ONCE);
    }
}

fn herd_count() -> i64 {
    i64::try_from(HERD).expect("few")
}

#[tokio::test]
async fn an_endpoint_that_is_enabled_again_gets_what_was_kept_a_few_at_a_time() {
    let stage = Stage::create().await;
    stage.world.enable(stage.endpoint).await;
    stage.fresh_deliveries_pass_by().await;
}

#[tokio::test]
async fn retries_that_are_due_in_the_same_moment_are_handed_out_a_few_at_a_time() {
    let stage = Stage::create().await;
    stage.world.make_retries().await;
    stage.world.enable(stage.endpoint).await;
    stage.world.pass_retries().await;
    stage
        .world
        .wait_for_queue("due_at IS NOT NULL AND lease_token IS NULL", 0)
        .await;
    stage.fresh_deliveries_pass_by().await;
}
