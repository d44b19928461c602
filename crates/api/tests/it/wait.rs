//! `Prefer: wait`: not much longer than was asked for.

use diesel_async::SimpleAsyncConnection;
use reprise_testkit::http::Client;
use serde_json::json;
use tokio::time::{Duration, Instant};

use crate::played_dispatcher::Played;
use crate::stage::{Stage, redeliver_path, replay_path};

async fn time_of(client: &Client, path: &str) -> Duration {
    let begun = Instant::now();
    let _ = client.post_empty(path).await.expect_status(200);
    begun.elapsed()
}

#[tokio::test]
async fn answer_comes_in_time_although_postgresql_does_not_answer() {
    let stage = Stage::start().await;
    let hook_id = stage.endpoint(json!({})).await;
    let mut dispatcher = stage.dispatcher().await;
    let id = stage
        .attempted(&mut dispatcher, Played::Answered(500))
        .await;
    let mut holder = stage.database.connect().await;
    holder
        .batch_execute("BEGIN; LOCK TABLE attempts")
        .await
        .expect("locked");
    let waiting = stage.client.header("Prefer", "wait=1");
    let (redeliver, replay) = (redeliver_path(&hook_id, &id), replay_path(&id));
    let (redelivered, replayed) =
        tokio::join!(time_of(&waiting, &redeliver), time_of(&waiting, &replay));
    // The store's own deadline is ten seconds.
    for elapsed in [redelivered, replayed] {
        assert!(elapsed < Duration::from_secs(8), "{elapsed:?}");
    }
}
