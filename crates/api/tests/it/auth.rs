//! Credentials: the token route, API keys, scopes, and what every response carries.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use reprise_testkit::fixture::Tenant;
use reprise_testkit::http::{Client, Response};
use reprise_testkit::polling::poll_until;
use serde_json::json;

use crate::command;
use crate::forged_tokens::Token;
use crate::stage::{Stage, code, faults};

const TOKEN: &str = "/v1/auth/token";
const ENDPOINTS: &str = "/v1/webhooks/endpoints";

async fn log_in(stage: &Stage, fields: &[(&str, &str)]) -> Response {
    stage.api.anonymous().post_form(TOKEN, fields).await
}

fn credentials(tenant: &Tenant) -> [(&str, &str); 2] {
    [
        ("username", &tenant.username),
        ("password", &tenant.password),
    ]
}

async fn can_list(client: &Client) {
    let _ = client.get(ENDPOINTS).await.expect_status(200);
}

/// The one answer to whoever has no good credentials.
#[track_caller]
pub fn assert_not_authenticated(what: &str, answer: &Response) {
    assert_eq!(answer.status, 401, "{what}: {}", answer.text());
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
    let body = json!({"detail": "Not authenticated", "code": "not_authenticated"});
    assert_eq!(answer.json(), body, "{what}");
}

#[tokio::test]
async fn password_is_answered_with_a_token_that_works() {
    let stage = Stage::start().await;
    let mut form = credentials(&stage.tenant).to_vec();
    form.push(("grant_type", "password"));
    let answer = log_in(&stage, &form).await.expect_status(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body = answer.json();
    assert_eq!(body["token_type"], "bearer");
    assert_eq!(body["expires_in"], 3600);
    assert_eq!(
        body["scope"],
        "events:write webhooks:read webhooks:write admin"
    );
    assert_eq!(body.as_object().map(|body| body.len()), Some(4));
    let token = body["access_token"].as_str().expect("a token");
    can_list(&stage.api.anonymous().bearer(token)).await;
    let scheme = format!("bEaReR {token}");
    can_list(&stage.api.anonymous().header("Authorization", &scheme)).await;
}

#[tokio::test]
async fn wrong_password_and_unknown_user_get_the_same_answer() {
    let stage = Stage::start().await;
    let username = stage.tenant.username.as_str();
    let wrong = log_in(&stage, &[("username", username), ("password", "wrong")]).await;
    let unknown = log_in(&stage, &[("username", "nobody"), ("password", "wrong")]).await;
    assert_eq!(wrong.status, 401);
    assert_eq!(wrong.json()["detail"], "Incorrect username or password");
    assert_eq!(wrong.json()["error"], "invalid_grant");
    assert_eq!(wrong.header("www-authenticate"), Some("Bearer"));
    assert_eq!(wrong.header("cache-control"), Some("no-store"));
    assert_eq!(
        (wrong.status, wrong.body),
        (unknown.status, unknown.body),
        "nobody can tell which names there are"
    );
}

#[tokio::test]
async fn faults_of_the_login_form_are_told_all_at_once() {
    let stage = Stage::start().await;
    let missing = ["body.password: missing", "body.username: missing"];
    assert_eq!(faults(log_in(&stage, &[]).await), missing);
    let empty = [("username", ""), ("password", "")];
    assert_eq!(faults(log_in(&stage, &empty).await), missing);
    let json = json!({"username": stage.tenant.username, "password": stage.tenant.password});
    let as_json = stage.api.anonymous().post(TOKEN, &json).await;
    assert_eq!(as_json.json()["error"], "invalid_request");
    assert_eq!(faults(as_json), missing);
    let grant = log_in(&stage, &[("grant_type", "client_credentials")]).await;
    assert_eq!(grant.json()["error"], "unsupported_grant_type");
    assert_eq!(
        faults(grant),
        [
            "body.grant_type: string_pattern_mismatch",
            "body.password: missing",
            "body.username: missing"
        ]
    );
    for name in ["a\0b".to_owned(), "x".repeat(2_000)] {
        let form = [("username", name.as_str()), ("password", "x")];
        let _ = log_in(&stage, &form).await.expect_status(422);
    }
}

#[tokio::test]
async fn parameters_of_the_login_form_without_a_value_count_as_omitted() {
    let stage = Stage::start().await;
    let (username, password) = (&*stage.tenant.username, &*stage.tenant.password);
    let form = [
        ("username", username),
        ("password", password),
        ("grant_type", ""),
        ("scope", ""),
    ];
    let _ = log_in(&stage, &form).await.expect_status(200);
}

#[tokio::test]
async fn every_error_of_the_token_route_speaks_oauth() {
    let stage = Stage::start().await;
    let long = "x".repeat(2 * 1024 * 1024);
    let answer = log_in(&stage, &[("username", &long), ("password", "x")])
        .await
        .expect_status(413);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.json()["code"], "body_too_large");
    assert_eq!(answer.json()["error"], "invalid_request");
    assert_eq!(answer.json()["error_description"], answer.json()["detail"]);
}

#[tokio::test]
async fn scopes_are_granted_as_asked_for_and_never_more_than_the_user_has() {
    let stage = Stage::start().await;
    let ask = async |scope: &str| {
        let mut form = credentials(&stage.tenant).to_vec();
        form.push(("scope", scope));
        log_in(&stage, &form).await
    };
    let some = ask("webhooks:read  events:write").await.expect_status(200);
    assert_eq!(some.json()["scope"], "events:write webhooks:read");
    for scope in ["webhooks:destroy", "webhooks:read everything"] {
        let refused = ask(scope).await.expect_status(400).json();
        assert_eq!(refused["error"], "invalid_scope");
        assert!(refused["error_description"].is_string());
    }
    let mut conn = stage.database.connect().await;
    conn.batch_execute("UPDATE users SET scopes = '{webhooks:read}'")
        .await
        .expect("the user can be changed");
    assert_eq!(ask("admin").await.status, 400);
    assert_eq!(
        ask("").await.expect_status(200).json()["scope"],
        "webhooks:read"
    );
}

#[tokio::test]
async fn missing_scope_is_forbidden_and_named() {
    let stage = Stage::start().await;
    let reader = stage.token("webhooks:read").await;
    let reader = stage.api.anonymous().bearer(&reader);
    can_list(&reader).await;
    let writing = reader.post(ENDPOINTS, &json!({})).await;
    assert_eq!(
        writing.header("www-authenticate"),
        Some("Bearer error=\"insufficient_scope\", scope=\"webhooks:write\"")
    );
    assert_eq!(code(writing, 403), "insufficient_scope");
    let publishing = reader.post("/v1/webhooks/events", &json!({})).await;
    assert_eq!(code(publishing, 403), "insufficient_scope");
    let publisher = stage.token("events:write").await;
    let publisher = stage.api.anonymous().bearer(&publisher);
    for path in [ENDPOINTS, "/v1/webhooks/deliveries"] {
        assert_eq!(code(publisher.get(path).await, 403), "insufficient_scope");
    }
}

#[tokio::test]
async fn bad_headers_and_keys_are_refused_alike() {
    let stage = Stage::start().await;
    let nobody = stage.api.anonymous();
    let key = stage.tenant.api_key.as_str();
    can_list(&nobody.api_key(key)).await;
    let (prefix, _) = key.split_once('.').expect("a key has two parts");
    let token = Token::of(&stage.tenant).sign();
    for (what, client) in [
        ("no credentials", nobody.clone()),
        (
            "another scheme",
            nobody.header("Authorization", "Basic YTpi"),
        ),
        ("a scheme alone", nobody.header("Authorization", "Bearer")),
        (
            "a token without scheme",
            nobody.header("Authorization", &token),
        ),
        ("two tokens", nobody.bearer(&token).bearer(&token)),
        ("an empty key", nobody.api_key("")),
        ("a garbage key", nobody.api_key("garbage")),
        ("a prefix alone", nobody.api_key(prefix)),
        (
            "a prefix and nothing",
            nobody.api_key(&format!("{prefix}.")),
        ),
        ("a truncated key", nobody.api_key(&key[..key.len() - 1])),
        ("a longer key", nobody.api_key(&format!("{key}A"))),
        (
            "another key of that prefix",
            nobody.api_key(&format!("{prefix}.{}", "A".repeat(43))),
        ),
        ("two keys", nobody.api_key(key).api_key(key)),
        ("a key as a token", nobody.bearer(key)),
    ] {
        assert_not_authenticated(what, &client.get(ENDPOINTS).await);
    }
}

/// Longer than a credential is remembered.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a credential that was ended elsewhere is refused.
async fn is_refused_soon(what: &str, client: &Client) {
    let refused = poll_until(PATIENCE, async || {
        let answer = client.get(ENDPOINTS).await;
        (answer.status != 200).then_some(answer)
    });
    assert_not_authenticated(what, &refused.await.expect("it is refused in the end"));
}

#[tokio::test]
async fn ended_and_revoked_keys_are_refused() {
    for change in ["expires_at = now()", "revoked_at = now()"] {
        let stage = Stage::start().await;
        can_list(&stage.client).await;
        let mut conn = stage.database.connect().await;
        conn.batch_execute(&format!("UPDATE api_keys SET {change}"))
            .await
            .expect("the key can be changed");
        is_refused_soon(change, &stage.client).await;
    }
}

#[tokio::test]
async fn two_credentials_must_both_be_good_and_of_one_tenant() {
    let stage = Stage::start().await;
    let stranger = Tenant::create(stage.database.url(), "stranger").await;
    let token = stage.token("webhooks:read").await;
    let nobody = stage.api.anonymous();
    let both = nobody.bearer(&token).api_key(&stage.tenant.api_key);
    can_list(&both).await;
    let writing = both.post(ENDPOINTS, &json!({})).await;
    assert_eq!(
        code(writing, 403),
        "insufficient_scope",
        "the lesser of the two counts"
    );
    for (what, client) in [
        (
            "two tenants",
            nobody.bearer(&token).api_key(&stranger.api_key),
        ),
        ("a bad key", nobody.bearer(&token).api_key("garbage")),
        (
            "a bad token",
            nobody.bearer("garbage").api_key(&stage.tenant.api_key),
        ),
        (
            "a bad scheme",
            nobody
                .header("Authorization", "Basic x")
                .api_key(&stage.tenant.api_key),
        ),
    ] {
        assert_not_authenticated(what, &client.get(ENDPOINTS).await);
    }
}

#[tokio::test]
async fn changed_password_ends_the_tokens_made_before() {
    let stage = Stage::start().await;
    let token = stage.token("").await;
    let holder = stage.api.anonymous().bearer(&token);
    can_list(&holder).await;
    let arguments = ["user", "set-password", "--username", &stage.tenant.username];
    let environment = [
        ("DATABASE_URL", stage.database.url()),
        ("REPRISE_PASSWORD", "a new password"),
    ];
    let changed = command::run(&arguments, &environment);
    assert!(changed.status.success(), "{}", command::stderr(&changed));
    is_refused_soon("an old token", &holder).await;
    can_list(&stage.client).await;
    let old = log_in(&stage, &credentials(&stage.tenant)).await;
    assert_eq!(old.status, 401, "the old password is no longer one");
    let username = stage.tenant.username.as_str();
    let form = [("username", username), ("password", "a new password")];
    let _ = log_in(&stage, &form).await.expect_status(200);
}

#[tokio::test]
async fn every_response_carries_a_request_id() {
    let stage = Stage::start().await;
    let nobody = stage.api.anonymous();
    let sane = stage.client.header("X-Request-Id", "job-17/a:b_c.d");
    assert_eq!(
        sane.get(ENDPOINTS).await.header("x-request-id"),
        Some("job-17/a:b_c.d")
    );
    for insane in ["with space", "\"quoted\"", "<script>", &"x".repeat(129)] {
        let answer = stage
            .client
            .header("X-Request-Id", insane)
            .get(ENDPOINTS)
            .await;
        let id = answer.header("x-request-id").expect("another id");
        assert_ne!(id, insane);
        assert!(id.parse::<uuid::Uuid>().is_ok(), "{id}");
    }
    for (path, status) in [
        (ENDPOINTS, 401),
        ("/nowhere", 404),
        ("/healthz", 200),
        ("/openapi.json", 200),
        ("/docs/", 200),
    ] {
        let answer = nobody.get(path).await.expect_status(status);
        assert!(answer.header("x-request-id").is_some(), "{path}");
    }
    let refused = nobody
        .header("X-Request-Id", "mine")
        .delete(ENDPOINTS)
        .await;
    assert_eq!(refused.header("x-request-id"), Some("mine"));
    assert_eq!(refused.header("allow"), Some("GET, POST"));
    assert_eq!(code(refused, 405), "method_not_allowed");
}
