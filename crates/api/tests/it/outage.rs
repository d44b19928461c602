//! PostgreSQL goes away and comes back; the API stays.

use std::time::Duration;

use reprise_testkit::cluster::Cluster;
use reprise_testkit::fixture::{Api, Tenant, create_endpoint, deliveries_of, publish};
use reprise_testkit::http::Response;
use reprise_testkit::polling::poll_until;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::played_dispatcher::{Played, PlayedDispatcher};
use crate::stage::{URL, code, redeliver_path, replay_path, text};

/// What a client would put up with before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(30);

/// Logs in with a password that is wrong.
async fn guess(api: &Api) -> Response {
    let form = [("username", "nobody"), ("password", "wrong")];
    api.anonymous().post_form("/v1/auth/token", &form).await
}

async fn in_time(answer: impl Future<Output = Response>) -> Response {
    timeout(PATIENCE, answer).await.expect("an answer in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn api_says_503_while_postgresql_is_away_and_goes_on_when_it_is_back() {
    let mut cluster = Cluster::start().await;
    let api = Api::start(cluster.url()).await;
    let tenant = Tenant::create(cluster.url(), "acme").await;
    let client = api.client(&tenant);
    create_endpoint(&client, URL, json!({})).await;
    let event = publish(&client, "invoice.paid", json!({})).await;

    cluster.stop_immediately();
    let body = json!({"event_type": "a", "payload": 1});
    for answer in [
        in_time(client.post("/v1/webhooks/events", &body)).await,
        in_time(client.get("/v1/webhooks/deliveries")).await,
        in_time(client.get("/v1/webhooks/endpoints")).await,
        in_time(
            api.anonymous()
                .post_form("/v1/auth/token", &[("username", "a"), ("password", "b")]),
        )
        .await,
    ] {
        assert_eq!(answer.header("retry-after"), Some("2"));
        assert_eq!(code(answer, 503), "unavailable");
    }
    let health = in_time(api.anonymous().get("/healthz")).await;
    assert_eq!(health.status, 200, "an outage restarts nothing");
    let began = Instant::now();
    let ready = in_time(api.anonymous().get("/readyz")).await;
    // A second and some, where the store's own waits are 3 s and more.
    assert!(began.elapsed() < Duration::from_millis(2_500));
    assert_eq!(ready.header("retry-after"), Some("2"));
    assert_eq!(code(ready, 503), "unavailable");

    cluster.restart();
    poll_until(SOON, async || {
        (api.anonymous().get("/readyz").await.status == 200).then_some(())
    })
    .await
    .expect("it is ready again");
    let kept = deliveries_of(&client, &text(&event["id"])).await;
    assert_eq!(kept.len(), 1, "what was answered 202 is there");
    let later = publish(&client, "invoice.paid", json!({})).await;
    assert_eq!(later["deliveries"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn api_starts_without_postgresql_and_is_ready_once_it_comes() {
    let mut cluster = Cluster::start().await;
    cluster.stop();
    let url = cluster.url().to_owned();
    let starting = Api::start(&url);
    let (api, ()) = tokio::join!(starting, async { cluster.restart() });
    let tenant = Tenant::create(&url, "acme").await;
    let _ = api
        .client(&tenant)
        .get("/v1/webhooks/endpoints")
        .await
        .expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn redelivery_under_way_outlives_a_restart_of_postgresql() {
    let mut cluster = Cluster::start().await;
    let api = Api::start(cluster.url()).await;
    let tenant = Tenant::create(cluster.url(), "acme").await;
    let client = api.client(&tenant);
    let hook = create_endpoint(&client, URL, json!({})).await;
    let event = publish(&client, "invoice.paid", json!({})).await;
    let mut dispatcher = PlayedDispatcher::start(cluster.url()).await;
    dispatcher.play_one(Played::Answered(500)).await;
    let delivery = &deliveries_of(&client, &text(&event["id"])).await[0];

    let path = redeliver_path(&text(&hook["id"]), &text(&delivery["id"]));
    let playing = async {
        let claim = dispatcher.claim_express().await;
        cluster.stop();
        // It waits three seconds for a connection: longer than the waiting call's own look at PostgreSQL takes, which happens
        // meanwhile.
        let _ = client
            .get("/v1/webhooks/endpoints")
            .await
            .expect_status(503);
        cluster.restart();
        let mut again = PlayedDispatcher::start(cluster.url()).await;
        again.finish(&claim, Played::Answered(204)).await;
    };
    let (answer, ()) = tokio::join!(client.post_empty(&path), playing);
    let answer = answer.expect_status(200).json();
    assert_eq!(answer["response_status"], 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_that_was_made_is_answered_although_postgresql_went_away() {
    let cluster = Cluster::start().await;
    let api = Api::start(cluster.url()).await;
    let tenant = Tenant::create(cluster.url(), "acme").await;
    let client = api.client(&tenant);
    create_endpoint(&client, URL, json!({})).await;
    let event = publish(&client, "invoice.paid", json!({})).await;
    let mut dispatcher = PlayedDispatcher::start(cluster.url()).await;
    dispatcher.play_one(Played::Answered(500)).await;
    let delivery = &deliveries_of(&client, &text(&event["id"])).await[0];

    let path = replay_path(&text(&delivery["id"]));
    let waiting = client.header("Prefer", "wait=2");
    let leaving = async {
        let claim = dispatcher.claim_express().await;
        cluster.stop();
        claim
    };
    let (answer, claim) = tokio::join!(waiting.post_empty(&path), leaving);
    let replay = answer.expect_status(200).json();
    assert_eq!(replay["id"], claim.delivery_id.to_string());
    assert_eq!(replay["status"], "pending", "as far as is known");
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_that_postgresql_could_not_answer_do_not_count_as_failed() {
    let mut cluster = Cluster::start().await;
    let limit = [("REPRISE_LOGIN_FAILURES_PER_MINUTE", "1")];
    let api = Api::start_with(cluster.url(), &limit).await;
    cluster.stop_immediately();
    for _ in 0..2 {
        assert_eq!(code(in_time(guess(&api)).await, 503), "unavailable");
    }
    cluster.restart();
    let answered = poll_until(SOON, async || {
        let answer = guess(&api).await;
        (answer.status != 503).then_some(answer.status)
    });
    assert_eq!(answered.await, Some(401));
    assert_eq!(code(guess(&api).await, 429), "rate_limited");
}
