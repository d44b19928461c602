//! What fails when all is done, as its transaction commits.

use reprise_core::event_type::EventType;
use reprise_core::store::replays::{self, ReplayOrder, Urgency};
use reprise_core::store::{deliveries, direct_events, endpoints, events, recording, subscriptions};

use crate::attempts::delivered;
use crate::world::{World, event, settings};

/// Lets every change of these tables fail at its commit.
const REFUSE_COMMITS: &str = "
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'refused at commit';
    END $$;
    CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON deliveries DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse();
    CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON endpoints DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse();";

#[tokio::test]
async fn what_fails_at_its_commit_is_not_answered_as_done() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.publish(account, &event(b"{}")).await;
    let ended = world.claim(1).await.remove(0);
    recording::record(&mut world.conn, world.dispatcher, &[delivered(&ended)])
        .await
        .expect("recorded");
    world.publish(account, &event(b"{}")).await;
    let waiting = world
        .texts("SELECT id::text FROM deliveries WHERE status = 'pending'")
        .await
        .remove(0)
        .parse()
        .expect("an id");
    let subscribed = subscriptions::list(&mut world.conn, account.tenant)
        .await
        .expect("read");
    world.sql(REFUSE_COMMITS).await;
    let before = world.rows().await;

    let tenant = account.tenant;
    let conn = &mut world.conn;
    events::publish(conn, tenant, &subscribed, &[event(b"{}")])
        .await
        .expect_err("published");
    for urgency in [Urgency::Normal, Urgency::Express] {
        let order = ReplayOrder {
            delivery_id: ended.delivery_id,
            endpoint_id: None,
            urgency,
        };
        replays::make(conn, tenant, &order)
            .await
            .expect_err("replayed");
    }
    deliveries::cancel(conn, tenant, waiting, "not wanted")
        .await
        .expect_err("canceled");
    direct_events::insert(conn, tenant, endpoint, EventType::challenge(), b"{}")
        .await
        .expect_err("stored");
    endpoints::note_verified(conn, tenant, endpoint, &settings().url)
        .await
        .expect_err("noted");
    assert_eq!(world.rows().await, before);
}
