//! API keys that nobody has: many of them keep nobody out, not even from the same address.

use futures_util::future::join_all;
use reprise_testkit::http::Client;

use crate::stage::Stage;

const LIST: &str = "/v1/webhooks/endpoints";

/// A key as keys are, another for each number.
fn guess(stage: &Stage, number: usize) -> Client {
    let key = format!("rpk_{number:010}.{}", "x".repeat(43));
    stage.api.anonymous().header("X-API-Key", &key)
}

#[tokio::test]
async fn a_flood_of_keys_that_nobody_has_keeps_no_good_one_out() {
    let stage = Stage::start_with(&[("REPRISE_LOGIN_FAILURES_PER_MINUTE", "1")]).await;
    let guesses: Vec<_> = (0..100).map(|number| guess(&stage, number)).collect();
    let stranger = stage.stranger().await;
    let flood = join_all(guesses.iter().map(|client| client.get(LIST)));
    let good = async {
        let _ = stage.client.get(LIST).await.expect_status(200);
        let _ = stranger.get(LIST).await.expect_status(200);
    };
    let (answers, ()) = futures_util::future::join(flood, good).await;
    for answer in answers {
        assert_eq!(answer.status, 401);
    }
}
