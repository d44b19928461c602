//! Another master key: what the former one signed and sealed stays good as long as it is named.

use std::time::Duration;

use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{Api, Dispatcher, SECRET_KEY, Tenant, create_endpoint, publish};
use reprise_testkit::process::Process;
use reprise_testkit::receiver::Receiver;
use reprise_testkit::verify::verify_standard;
use serde_json::json as value;

use crate::command::{json, run, stderr};
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
    let made = create_endpoint(&api.client(&tenant), &receiver.url("/"), value!({})).await;
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
    publish(&client, "a", value!({})).await;
    let received = receiver.wait_for(1, PATIENCE).await.remove(0);
    verify_standard(&text(&made["secret"]), &received).expect("signed with the endpoint's secret");
    drop(api);

    let environment = [[("DATABASE_URL", database.url())].as_slice(), &both].concat();
    assert_eq!(json(&run(&["reseal"], &environment))["resealed"], 1);
    let api = Api::start_with(database.url(), &new).await;
    let client = api.anonymous().bearer(&token);
    assert_eq!(
        client.get(&endpoint).await.status,
        401,
        "the former key is not named"
    );
}

#[tokio::test]
async fn programs_do_not_start_with_a_key_that_opens_nothing() {
    let database = TestDatabase::create().await;
    let tenant = Tenant::create(database.url(), "acme").await;
    let environment = [
        ("DATABASE_URL", database.url()),
        ("REPRISE_SECRET_KEY", NEW_KEY),
        ("REPRISE_LISTEN", "127.0.0.1:0"),
        ("REPRISE_ADMIN_LISTEN", "127.0.0.1:0"),
    ];
    // A database without a secret takes any key.
    let api = Api::start_with(database.url(), &[("REPRISE_SECRET_KEY", NEW_KEY)]).await;
    drop(api);
    let api = Api::start(database.url()).await;
    create_endpoint(&api.client(&tenant), "http://127.0.0.1:18080/", value!({})).await;
    for program in ["reprise-api", "reprise-dispatcher"] {
        let mut process = Process::start(program, &[], &environment);
        let status = process.wait_exit(PATIENCE).await;
        assert_eq!(status.code(), Some(1), "{program}");
        for variable in ["REPRISE_SECRET_KEY ", "REPRISE_SECRET_KEY_PREVIOUS "] {
            let named = |line: &str| line.contains(variable).then_some(());
            process.wait_for_line(named, PATIENCE).await;
        }
        assert!(!process.lines().join("").contains(NEW_KEY));
    }
    let refused = run(&["serve"], &environment);
    assert!(stderr(&refused).contains("opens none"), "serve by name");
}
