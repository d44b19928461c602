//! What most tests begin with: a database, the API on it, and a tenant.

use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{self, Api, Tenant};
use reprise_testkit::http::{Client, Response};
use serde_json::{Value, json};

use crate::played_dispatcher::{Played, PlayedDispatcher};

/// Where no receiver is, and nothing is ever sent to: no dispatcher runs in these tests.
pub const URL: &str = "http://127.0.0.1:18080/hook";
/// An id as ids are, which nobody has.
pub const UNKNOWN_ID: &str = "0190a0b0-c0d0-7e0f-8a0b-0c0d0e0f0a0b";

/// A database, an API and a tenant; whatever lives on the database goes before it.
pub struct Stage {
    /// The API.
    pub api: Api,
    /// The tenant.
    pub tenant: Tenant,
    /// A client with the tenant's API key.
    pub client: Client,
    /// The database.
    pub database: TestDatabase,
}

impl Stage {
    /// With receivers allowed on loopback, over plain HTTP.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With these variables for the API besides.
    pub async fn start_with(environment: &[(&str, &str)]) -> Self {
        let database = TestDatabase::create().await;
        let api = Api::start_with(database.url(), environment).await;
        let tenant = Tenant::create(database.url(), "acme").await;
        let client = api.client(&tenant);
        Self {
            api,
            tenant,
            client,
            database,
        }
    }

    /// A dispatcher that the test plays.
    pub async fn dispatcher(&self) -> PlayedDispatcher {
        PlayedDispatcher::start(self.database.url()).await
    }

    /// A client of another tenant.
    pub async fn stranger(&self) -> Client {
        let tenant = Tenant::create(self.database.url(), "stranger").await;
        self.api.client(&tenant)
    }

    /// A token of the tenant's user with these scopes.
    pub async fn token(&self, scope: &str) -> String {
        let form = [
            ("username", self.tenant.username.as_str()),
            ("password", self.tenant.password.as_str()),
            ("scope", scope),
        ];
        let answer = self
            .api
            .anonymous()
            .post_form("/v1/auth/token", &form)
            .await;
        text(&answer.expect_status(200).json()["access_token"])
    }

    /// Makes an endpoint and returns its id.
    pub async fn endpoint(&self, extra: Value) -> String {
        text(&fixture::create_endpoint(&self.client, URL, extra).await["id"])
    }

    /// Publishes an event and returns its id.
    pub async fn publish(&self, event_type: &str) -> String {
        text(&fixture::publish(&self.client, event_type, json!({"n": 1})).await["id"])
    }

    /// Publishes an event to the one endpoint that gets it, and returns the delivery's id.
    pub async fn deliver(&self, event_type: &str) -> String {
        let event_id = self.publish(event_type).await;
        let deliveries = fixture::deliveries_of(&self.client, &event_id).await;
        assert_eq!(deliveries.len(), 1, "one endpoint gets {event_type}");
        text(&deliveries[0]["id"])
    }

    /// Publishes an event to the one endpoint that gets it, and makes the first attempt.
    pub async fn attempted(&self, dispatcher: &mut PlayedDispatcher, played: Played) -> String {
        let id = self.deliver("invoice.paid").await;
        let claim = dispatcher.play_one(played).await;
        assert_eq!(claim.delivery_id.to_string(), id);
        id
    }

    /// The delivery as it stands.
    pub async fn delivery(&self, id: &str) -> Value {
        self.client
            .get(&format!("/v1/webhooks/deliveries/{id}"))
            .await
            .expect_status(200)
            .json()
    }

    /// Replays a delivery.
    pub async fn replay(&self, id: &str) -> Response {
        self.client.post_empty(&replay_path(id)).await
    }

    /// Disables, enables or otherwise changes an endpoint.
    pub async fn change_endpoint(&self, id: &str, change: Value) -> Value {
        self.client
            .patch(&format!("/v1/webhooks/endpoints/{id}"), &change)
            .await
            .expect_status(200)
            .json()
    }

    /// Deletes an endpoint.
    pub async fn delete_endpoint(&self, id: &str) -> Value {
        self.client
            .delete(&format!("/v1/webhooks/endpoints/{id}"))
            .await
            .expect_status(200)
            .json()
    }
}

/// Where a delivery is replayed.
pub fn replay_path(id: &str) -> String {
    format!("/v1/webhooks/deliveries/{id}/replay")
}

/// Where a delivery is redelivered.
pub fn redeliver_path(hook_id: &str, request_id: &str) -> String {
    format!("/hooks/{hook_id}/requests/{request_id}/redeliver")
}

/// A JSON text.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The faults of a 422, as `place: type`, sorted.
#[track_caller]
pub fn faults(response: Response) -> Vec<String> {
    let body = response.expect_status(422).json();
    let mut found: Vec<String> = body["detail"]
        .as_array()
        .expect("a list of faults")
        .iter()
        .map(|fault| {
            let steps: Vec<String> = fault["loc"]
                .as_array()
                .expect("a loc")
                .iter()
                .map(|step| {
                    step.as_str()
                        .map_or_else(|| step.to_string(), str::to_owned)
                })
                .collect();
            assert!(fault["msg"].is_string(), "{fault}");
            format!("{}: {}", steps.join("."), text(&fault["type"]))
        })
        .collect();
    found.sort();
    found
}

/// The `code` of an error with this status.
#[track_caller]
pub fn code(response: Response, status: u16) -> String {
    let body = response.expect_status(status).json();
    assert!(body["detail"].is_string(), "{body}");
    text(&body["code"])
}
