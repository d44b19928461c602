//! Another master key: what the former one signed and sealed stays good as long as it is named.

use std::time::Duration;

use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{Api, Dispatcher, SECRET_KEY, Tenant, create_endpoint, publish};
use reprise_testkit::receiver::Receiver;
use reprise_testkit::verify::verify_standard;
use serde_json::json;

use crate::stage::text;

const NEW_KEY: &str = "YW5vdGhlciBtYXN0ZXIga2V5IG9mIDMyIGJ5dGVzISE=";
const PATIENCE: Duration = Duration::from_secs(30);

async fn token(api: &Api, tenant: &Tenant) -> String {
    let form = [
        ("username", tenant.username.as_str()),
        ("password", tenant.password.as_str()),
    ];
    let answer = api.anonymous().post_form("/v1/auth/token", &form).await;
    text(&answer.expect_status(200).json()["access_token"])
}

#[tokio::test]
async fn previous_key_opens_what_it_sealed_and_proves_what_it_signed() {
    let database = TestDatabase::create().await;
    let receiver = Receiver::start().await;
    let tenant = Tenant::create(database.url(), "acme").await;
    let api = Api::start(database.url()).await;
    let made = create_endpoint(&api.client(&tenant), &receiver.url("/"), json!({})).await;
    let token = token(&api, &tenant).await;
    let endpoint = format!("/v1/webhooks/endpoints/{}", text(&made["id"]));
    drop(api);

    let new = [("REPRISE_SECRET_KEY", NEW_KEY)];
    let both = [new[0], ("REPRISE_SECRET_KEY_PREVIOUS", SECRET_KEY)];
    let api = Api::start_with(database.url(), &both).await;
    let _dispatcher = Dispatcher::start_with(database.url(), &both).await;
    let client = api.anonymous().bearer(&token);
    let shown = client.get(&endpoint).await.expect_status(200).json();
    assert_eq!(shown["secret_hint"], made["secret_hint"]);
    publish(&client, "a", json!({})).await;
    let received = receiver.wait_for(1, PATIENCE).await.remove(0);
    verify_standard(&text(&made["secret"]), &received).expect("signed with the endpoint's secret");
    drop(api);

    let api = Api::start_with(database.url(), &new).await;
    let client = api.anonymous().bearer(&token);
    assert_eq!(
        client.get(&endpoint).await.status,
        401,
        "the former key is not named"
    );
}
