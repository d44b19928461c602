//! A delivery that makes its attempt panic costs that attempt only.

use reprise_faults::stage::PATIENCE;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{Api, Dispatcher, Tenant, create_endpoint, publish};
use reprise_testkit::metrics;
use reprise_testkit::polling::poll_until;
use reprise_testkit::receiver::Receiver;
use reprise_testkit::sql::Sql;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempt_that_panics_is_lost_and_nothing_else_is() {
    let database = TestDatabase::create().await;
    let api = Api::start(database.url()).await;
    let tenant = Tenant::create(database.url(), "acme").await;
    let client = api.client(&tenant);
    let receiver = Receiver::start().await;
    let policy = json!({"timeout_seconds": 1, "max_retries": 1, "retry_schedule": [1]});
    create_endpoint(&client, &receiver.url("/"), policy).await;
    let armed = [("REPRISE_FAILPOINTS", "attempt[poison.pill]=panic")];
    let dispatcher = Dispatcher::start_with(database.url(), &armed).await;
    publish(&client, "poison.pill", json!({})).await;
    for _ in 0..20 {
        publish(&client, "good.one", json!({})).await;
    }
    receiver.wait_for(20, PATIENCE).await;
    let sql = Sql::at(database.url());
    let poison = "FROM attempts WHERE error_kind = 'lost'";
    for attempt in 1..=2 {
        // Its lease would end by itself after 16 seconds.
        let leased = "SELECT count(*) FROM delivery_queue WHERE lease_token IS NOT NULL";
        sql.wait_for(leased, 1, PATIENCE).await;
        sql.execute("UPDATE delivery_queue SET due_at = now() WHERE lease_token IS NOT NULL")
            .await;
        let lost = format!("SELECT count(*) {poison}");
        sql.wait_for(&lost, attempt, PATIENCE).await;
    }
    let statuses = sql.texts(
        "SELECT status || ' ' || count(*) AS value FROM deliveries GROUP BY status ORDER BY 1",
    );
    assert_eq!(statuses.await, ["delivered 20", "failed 1"]);
    let idle = poll_until(PATIENCE, async || {
        let text = dispatcher.admin().get("/metrics").await.text();
        (metrics::value(&text, "reprise_in_flight") == Some(0.0)).then_some(())
    });
    idle.await.expect("its permit was given back");
    assert_eq!(receiver.received().len(), 20, "nothing of it was sent");
}
