//! What fails when all is done, as its transaction commits.

use std::fmt::Debug;

use reprise_core::event_type::EventType;
use reprise_core::scope::Scopes;
use reprise_core::store::replays::{self, ReplayOrder, Urgency};
use reprise_core::store::{
    StoreError, deliveries, direct_events, endpoints, events, recording, subscriptions, users,
};

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
        FOR EACH ROW EXECUTE FUNCTION refuse();
    CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON users DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse();";

fn refused<T: Debug>(result: Result<T, StoreError>) {
    let error = result.expect_err("the commit fails");
    assert!(
        matches!(&error, StoreError::Refused(message) if message == "refused at commit"),
        "{error:?}"
    );
}

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
    refused(events::publish(conn, tenant, &subscribed, &[event(b"{}")]).await);
    for urgency in [Urgency::Normal, Urgency::Express] {
        let order = ReplayOrder {
            delivery_id: ended.delivery_id,
            endpoint_id: None,
            urgency,
        };
        refused(replays::make(conn, tenant, &order).await);
    }
    refused(deliveries::cancel(conn, tenant, waiting, "not wanted").await);
    let challenge = EventType::challenge();
    refused(direct_events::insert(conn, tenant, endpoint, challenge, b"{}").await);
    refused(endpoints::note_verified(conn, tenant, endpoint, &settings().url).await);
    refused(users::insert(conn, tenant, "ada", "hash", &Scopes::all()).await);
    assert_eq!(world.rows().await, before);
}
