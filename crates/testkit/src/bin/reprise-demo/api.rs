//! The demo's calls to the API.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use reprise_testkit::{
    http::{Client, Content, Method, Response},
    polling::poll_until,
};
use serde_json::{Value, json};

use crate::keepsake::DemoEndpoint;

const ENDPOINTS: &str = "/v1/webhooks/endpoints";

/// A server that comes up on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// From the receiver's 200 to the stored result: milliseconds, but CI machines are slow.
const RECORD_TIMEOUT: Duration = Duration::from_secs(10);

/// Waits until a program says that it is ready.
pub(crate) async fn wait_until_ready(name: &str, url: &str) -> Result<()> {
    let client = Client::new(url);
    let ready = poll_until(READY_TIMEOUT, async || {
        let answer = client.try_send(Method::GET, "/readyz", None).await;
        answer.ok().filter(|answer| answer.status == 200)
    });
    ready
        .await
        .map(drop)
        .ok_or_else(|| anyhow!("{name} is not ready after {READY_TIMEOUT:?}"))
}

/// The API with the demo tenant's key.
pub(crate) struct Api {
    client: Client,
}

impl Api {
    pub(crate) fn new(url: &str, api_key: &str) -> Self {
        Self {
            client: Client::new(url).api_key(api_key),
        }
    }

    /// Whether the key is (still) one of this database.
    pub(crate) async fn accepts_key(&self) -> Result<bool> {
        let answer = self.client.try_send(Method::GET, ENDPOINTS, None).await?;
        match answer.status {
            200 => Ok(true),
            401 => Ok(false),
            status => bail!("GET {ENDPOINTS} answered {status}: {}", answer.text()),
        }
    }

    /// Leads an endpoint to another URL; `false` if there is no such endpoint any more.
    pub(crate) async fn move_endpoint(&self, endpoint_id: &str, url: &str) -> Result<bool> {
        let body = Content::json(&json!({ "url": url, "enabled": true }));
        let path = format!("{ENDPOINTS}/{endpoint_id}");
        let answer = self
            .client
            .try_send(Method::PATCH, &path, Some(body))
            .await?;
        match answer.status {
            200 => Ok(true),
            404 | 409 | 410 => Ok(false),
            status => bail!("PATCH {path} answered {status}: {}", answer.text()),
        }
    }

    pub(crate) async fn create_endpoint(&self, url: &str) -> Result<DemoEndpoint> {
        let body = json!({ "url": url, "description": "The demo's receiver" });
        let endpoint = self.post(ENDPOINTS, Some(body), 201).await?;
        Ok(DemoEndpoint {
            endpoint_id: text(&endpoint, "id")?,
            endpoint_secret: text(&endpoint, "secret")?,
        })
    }

    /// Publishes an event and returns its id.
    pub(crate) async fn publish(&self, event: Value) -> Result<String> {
        let answer = self.post("/v1/webhooks/events", Some(event), 202).await?;
        text(&answer, "id")
    }

    /// The id of the newest delivery of an event to an endpoint.
    pub(crate) async fn find_delivery(&self, endpoint_id: &str, event_id: &str) -> Result<String> {
        let path = format!("/v1/webhooks/deliveries?endpoint_id={endpoint_id}");
        let page = self.get(&path).await?;
        let mut items = page["items"].as_array().into_iter().flatten();
        let delivery = items.find(|delivery| delivery["event_id"] == event_id);
        text(
            delivery.context("the event's delivery is not listed")?,
            "id",
        )
    }

    /// Waits until a delivery is recorded as delivered.
    pub(crate) async fn wait_until_delivered(&self, delivery_id: &str) -> Result<()> {
        let path = format!("/v1/webhooks/deliveries/{delivery_id}");
        let recorded = poll_until(RECORD_TIMEOUT, async || match self.get(&path).await {
            Ok(delivery) if delivery["status"] == "delivered" => Some(Ok(())),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        recorded.await.unwrap_or_else(|| {
            bail!("delivery {delivery_id} is not `delivered` after {RECORD_TIMEOUT:?}")
        })
    }

    /// Replays a delivery (reference A) and returns the id of the new one.
    pub(crate) async fn replay(&self, delivery_id: &str) -> Result<String> {
        let path = format!("/v1/webhooks/deliveries/{delivery_id}/replay");
        let replay = self.post(&path, None, 200).await?;
        ensure!(
            replay["replay_of_delivery_id"] == delivery_id,
            "the replay does not name {delivery_id}: {replay}"
        );
        text(&replay, "id")
    }

    /// Redelivers (reference B) and returns how many milliseconds the receiver took.
    pub(crate) async fn redeliver(&self, hook_id: &str, request_id: &str) -> Result<u64> {
        let path = format!("/hooks/{hook_id}/requests/{request_id}/redeliver");
        let request = self.post(&path, None, 200).await?;
        ensure!(
            request["response_status"] == 200 && request["redelivery"] == true,
            "the redelivery was not answered with 200: {request}"
        );
        request["response_duration_ms"]
            .as_u64()
            .context("the redelivery has no duration")
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.client.try_send(Method::GET, path, None).await?;
        expect(&format!("GET {path}"), &answer, 200)
    }

    async fn post(&self, path: &str, body: Option<Value>, status: u16) -> Result<Value> {
        let content = body.as_ref().map(Content::json);
        let answer = self.client.try_send(Method::POST, path, content).await?;
        expect(&format!("POST {path}"), &answer, status)
    }
}

fn expect(what: &str, answer: &Response, status: u16) -> Result<Value> {
    ensure!(
        answer.status == status,
        "{what} answered {} instead of {status}: {}",
        answer.status,
        answer.text()
    );
    serde_json::from_slice(&answer.body).with_context(|| format!("{what} answered no JSON"))
}

fn text(object: &Value, field: &str) -> Result<String> {
    object[field]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("`{field}` is missing in {object}"))
}
