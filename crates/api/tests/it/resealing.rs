//! `reprise-api reseal`, and endpoints whose master key is gone.

use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{Api, SECRET_KEY, Tenant, create_endpoint};
use reprise_testkit::http::Client;
use serde_json::{Value, json};

use crate::command::{json as printed, run, stderr, stdout};
use crate::stage::{URL, text};

/// Another master key than the testkit's.
const NEW_KEY: &str = "bmV3LXRlc3QtLW9ubHktLXNlY3JldC1rZXktb2YtMzI=";

/// An endpoint made with the testkit's key, on an API that has only the new one.
struct KeyGone {
    _api: Api,
    client: Client,
    endpoint: Value,
    path: String,
    _database: TestDatabase,
}

impl KeyGone {
    /// `between` is given the database's URL and the tenant before the API starts with the new key.
    async fn start(between: impl AsyncFnOnce(&str, &Tenant)) -> Self {
        let database = TestDatabase::create().await;
        let tenant = Tenant::create(database.url(), "acme").await;
        let api = Api::start(database.url()).await;
        let headers = json!({"headers": {"x-token": "hunter2"}});
        let endpoint = create_endpoint(&api.client(&tenant), URL, headers).await;
        drop(api);
        between(database.url(), &tenant).await;
        let api = Api::start_with(database.url(), &[("REPRISE_SECRET_KEY", NEW_KEY)]).await;
        Self {
            client: api.client(&tenant),
            path: format!("/v1/webhooks/endpoints/{}", text(&endpoint["id"])),
            _api: api,
            endpoint,
            _database: database,
        }
    }
}

#[tokio::test]
async fn resealed_endpoints_are_read_with_the_new_key_alone() {
    let gone = KeyGone::start(async |url, _| {
        let database = ("DATABASE_URL", url);
        let both = [
            database,
            ("REPRISE_SECRET_KEY", NEW_KEY),
            ("REPRISE_SECRET_KEY_PREVIOUS", SECRET_KEY),
        ];
        let alone = run(&["reseal"], &both[..2]);
        assert_eq!(alone.status.code(), Some(1));
        assert_eq!(stdout(&alone), "");
        let message = stderr(&alone);
        assert!(message.contains("the key of 1 others: "), "{message}");
        assert_eq!(printed(&run(&["reseal"], &both)), json!({"resealed": 1}));
        assert_eq!(printed(&run(&["reseal"], &both)), json!({"resealed": 0}));
    })
    .await;
    let found = gone.client.get(&gone.path).await.expect_status(200).json();
    assert_eq!(found["headers"], json!({"x-token": "hunter2"}));
    assert_eq!(found["updated_at"], gone.endpoint["updated_at"]);
}

#[tokio::test]
async fn endpoint_whose_key_is_gone_can_be_deleted() {
    // One that opens keeps the API from refusing to start.
    let gone = KeyGone::start(async |url, tenant| {
        let both = [
            ("REPRISE_SECRET_KEY", NEW_KEY),
            ("REPRISE_SECRET_KEY_PREVIOUS", SECRET_KEY),
        ];
        let api = Api::start_with(url, &both).await;
        create_endpoint(&api.client(tenant), URL, json!({})).await;
    })
    .await;
    let _ = gone.client.get(&gone.path).await.expect_status(500);
    let deleted = gone
        .client
        .delete(&gone.path)
        .await
        .expect_status(200)
        .json();
    assert_eq!(deleted["id"], gone.endpoint["id"]);
    assert_eq!(deleted["status"], "deleted");
    let list = gone.client.get("/v1/webhooks/endpoints").await;
    let list = list.expect_status(200).json();
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
}

#[test]
fn reseal_names_what_it_needs() {
    let refused = run(&["reseal"], &[]);
    assert_eq!(refused.status.code(), Some(1));
    for variable in ["DATABASE_URL", "REPRISE_SECRET_KEY"] {
        let message = stderr(&refused);
        assert!(
            message.contains(&format!("{variable}: must be set")),
            "{message}"
        );
    }
}
