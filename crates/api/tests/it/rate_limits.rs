//! Limits on requests and on wrong passwords.

use reprise_testkit::fixture::Tenant;
use reprise_testkit::http::{Client, Response};

use crate::stage::{Stage, code};

const ENDPOINTS: &str = "/v1/webhooks/endpoints";
const TOKEN: &str = "/v1/auth/token";

/// A refusal that says how long to wait.
#[track_caller]
fn assert_limited(answer: Response) {
    let seconds = answer.header("retry-after").expect("when to come again");
    assert!(
        seconds.parse::<u32>().is_ok_and(|seconds| seconds >= 1),
        "{seconds}"
    );
    assert_eq!(code(answer, 429), "rate_limited");
}

/// Calls until the first refusal, and returns how many were let through.
async fn let_through(client: &Client) -> usize {
    for count in 0..1_000 {
        let answer = client.get(ENDPOINTS).await;
        if answer.status != 200 {
            assert_limited(answer);
            return count;
        }
    }
    1_000
}

#[tokio::test]
async fn requests_of_a_credential_are_limited_and_others_are_not_held_up() {
    let stage = Stage::start_with(&[("REPRISE_RATE_LIMIT_PER_KEY", "2")]).await;
    let stranger = stage.stranger().await;
    let token = stage.token("webhooks:read").await;
    assert!(let_through(&stage.client).await >= 2);
    let _ = stranger.get(ENDPOINTS).await.expect_status(200);
    let _ = stage
        .api
        .anonymous()
        .bearer(&token)
        .get(ENDPOINTS)
        .await
        .expect_status(200);
    let _ = stage
        .api
        .anonymous()
        .get("/healthz")
        .await
        .expect_status(200);
}

#[tokio::test]
async fn requests_are_not_limited_unless_it_is_asked_for() {
    let stage = Stage::start().await;
    for _ in 0..200 {
        let _ = stage.client.get(ENDPOINTS).await.expect_status(200);
    }
}

async fn log_in(client: &Client, username: &str, password: &str) -> Response {
    client
        .post_form(TOKEN, &[("username", username), ("password", password)])
        .await
}

#[tokio::test]
async fn wrong_passwords_are_limited_alike_for_users_that_there_are_and_that_there_are_not() {
    let stage = Stage::start_with(&[("REPRISE_LOGIN_FAILURES_PER_MINUTE", "3")]).await;
    let client = stage.api.anonymous();
    for username in [stage.tenant.username.as_str(), "nobody"] {
        for _ in 0..3 {
            let _ = log_in(&client, username, "wrong").await.expect_status(401);
        }
        let refused = log_in(&client, username, "wrong").await;
        assert_eq!(refused.header("cache-control"), Some("no-store"));
        assert_eq!(refused.json()["error"], "temporarily_unavailable");
        assert_limited(refused);
    }
    let right = log_in(&client, &stage.tenant.username, &stage.tenant.password).await;
    assert_limited(right);
    let other = Tenant::create(stage.database.url(), "other").await;
    let _ = log_in(&client, &other.username, &other.password)
        .await
        .expect_status(200);
}

#[tokio::test]
async fn logins_that_succeed_are_not_limited() {
    let stage = Stage::start_with(&[("REPRISE_LOGIN_FAILURES_PER_MINUTE", "2")]).await;
    let client = stage.api.anonymous();
    for _ in 0..6 {
        let answer = log_in(&client, &stage.tenant.username, &stage.tenant.password).await;
        let _ = answer.expect_status(200);
    }
}

#[tokio::test]
async fn guesses_made_at_once_do_not_pass_the_limit_together() {
    let stage = Stage::start_with(&[("REPRISE_LOGIN_FAILURES_PER_MINUTE", "3")]).await;
    let client = stage.api.anonymous();
    let guesses = (0..12).map(|_| log_in(&client, "nobody", "wrong"));
    let answers = futures_util::future::join_all(guesses).await;
    let count = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    assert_eq!((count(401), count(429)), (3, 9));
}

#[tokio::test]
async fn proxy_that_is_trusted_tells_where_a_login_comes_from() {
    let environment = [
        ("REPRISE_LOGIN_FAILURES_PER_MINUTE", "1"),
        ("REPRISE_TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    let stage = Stage::start_with(&environment).await;
    let from = |address| stage.api.anonymous().header("X-Forwarded-For", address);
    let _ = log_in(&from("192.0.2.1"), "nobody", "wrong")
        .await
        .expect_status(401);
    assert_limited(log_in(&from("192.0.2.1"), "nobody", "wrong").await);
    let _ = log_in(&from("192.0.2.2"), "nobody", "wrong")
        .await
        .expect_status(401);
    assert_limited(log_in(&from("192.0.2.9, 192.0.2.2"), "nobody", "wrong").await);
}
