//! Repeats with one `Idempotency-Key` while the first is under way: they wait, and nobody else does.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use reprise_testkit::polling::poll_until;
use serde_json::json;
use tokio::task::JoinSet;

use crate::played_dispatcher::Played;
use crate::rows;
use crate::stage::{Stage, replay_path};

const SOON: Duration = Duration::from_secs(20);
/// Repeats that come at once: more than the API has connections.
const REPEATS: usize = 6;

#[tokio::test]
async fn repeats_that_wait_for_the_first_leave_the_connections_to_others() {
    let stage = Stage::start_with(&[("REPRISE_DATABASE_CONNECTIONS", "2")]).await;
    stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage
        .attempted(&mut dispatcher, Played::Answered(200))
        .await;
    let path = replay_path(&id);
    let mut first = stage.database.connect().await;
    first
        .batch_execute(&format!(
            "BEGIN; INSERT INTO idempotency_keys (tenant_id, key, method, path, fingerprint)
             VALUES ('{}', 'click', 'POST', '{path}', sha256(''))",
            stage.tenant.tenant_id
        ))
        .await
        .expect("the key is taken elsewhere");

    let mut repeats = JoinSet::new();
    for _ in 0..REPEATS {
        let client = stage.client.header("Idempotency-Key", "click");
        let path = path.clone();
        repeats.spawn(async move { client.post_empty(&path).await });
    }
    let mut looking = stage.database.connect().await;
    let waiting =
        "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    poll_until(SOON, async || {
        (rows::count(&mut looking, waiting).await > 0).then_some(())
    })
    .await
    .expect("a repeat waits");
    for _ in 0..20 {
        let _ = stage.client.get("/hooks").await.expect_status(200);
    }
    assert_eq!(rows::count(&mut looking, waiting).await, 1);

    first.batch_execute("ROLLBACK").await.expect("rolled back");
    let answers = repeats.join_all().await;
    let bodies: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.expect_status(200).body)
        .collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(
        rows::count(&mut looking, "deliveries").await,
        2,
        "one replay"
    );
}
