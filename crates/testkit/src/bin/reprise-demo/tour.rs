//! What the demo does and shows, step by step.

mod commands;

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use crate::{
    api::{self, Api},
    arguments::Arguments,
    keepsake::{DemoEndpoint, DemoTenant, Keepsake},
    ports::Ports,
    programs::{api_log, dispatcher_log},
    receiver::DemoReceiver,
    screen, tenant,
};

/// A first attempt takes milliseconds; this is for a machine that is compiling besides.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Leads from an empty database to a delivered event, and shows where to go from there.
pub(crate) struct Tour<'a> {
    arguments: &'a Arguments,
    api_url: String,
    dispatcher_url: String,
    keepsake: Keepsake,
}

impl<'a> Tour<'a> {
    pub(crate) fn new(arguments: &'a Arguments, ports: Ports, keepsake: Keepsake) -> Self {
        Self {
            arguments,
            api_url: format!("http://{}", ports.api),
            dispatcher_url: format!("http://{}", ports.dispatcher),
            keepsake,
        }
    }

    /// With `--once` returns when all is done and has worked; else goes on until it is dropped.
    pub(crate) async fn run(mut self) -> Result<()> {
        let receiver = DemoReceiver::start().await;
        self.wait_for_programs(&receiver).await?;
        let tenant = self.tenant().await?;
        let api = Api::new(&self.api_url, &tenant.api_key);
        let endpoint = self.endpoint(&api, &receiver).await?;
        receiver.trust(&endpoint.endpoint_secret);
        screen::gap();

        let delivery_id = deliver(&api, &receiver, &endpoint).await?;
        if self.arguments.once {
            return repeat(&api, &endpoint, &delivery_id).await;
        }
        commands::show(&self.api_url, &tenant, &endpoint, &delivery_id);
        // The receiver lives in this future: it receives until the demo is stopped.
        std::future::pending().await
    }

    async fn wait_for_programs(&self, receiver: &DemoReceiver) -> Result<()> {
        api::wait_until_ready("reprise-api", &self.api_url).await?;
        api::wait_until_ready("reprise-dispatcher", &self.dispatcher_url).await?;
        let state_dir = &self.arguments.state_dir;
        screen::program("API", &self.api_url, &api_log(state_dir));
        let metrics = format!("{}/metrics", self.dispatcher_url);
        screen::program("Dispatcher", &metrics, &dispatcher_log(state_dir));
        screen::fact("Receiver", receiver.url());
        Ok(())
    }

    /// The tenant of the last run, if this database has it, else a new one.
    async fn tenant(&mut self) -> Result<DemoTenant> {
        let tenant = match &self.keepsake.tenant {
            Some(tenant)
                if Api::new(&self.api_url, &tenant.api_key)
                    .accepts_key()
                    .await? =>
            {
                tenant.clone()
            }
            Some(_) | None => {
                let secret_key = &self.keepsake.secret_key;
                let tenant = tenant::create(&self.arguments.database_url, secret_key).await?;
                self.keepsake.keep_tenant(tenant.clone())?;
                tenant
            }
        };
        let keepsake = self.arguments.state_dir.join("demo.json");
        screen::fact(
            "Tenant",
            format_args!(
                "{}, password and key in {}",
                tenant.username,
                keepsake.display()
            ),
        );
        Ok(tenant)
    }

    /// The endpoint of the last run, led to today's receiver, or a new one.
    async fn endpoint(&mut self, api: &Api, receiver: &DemoReceiver) -> Result<DemoEndpoint> {
        if let Some(endpoint) = &self.keepsake.endpoint {
            // What is left over from the last run may come at once.
            receiver.trust(&endpoint.endpoint_secret);
            if api
                .move_endpoint(&endpoint.endpoint_id, &receiver.url())
                .await?
            {
                return Ok(endpoint.clone());
            }
        }
        let endpoint = api.create_endpoint(&receiver.url()).await?;
        self.keepsake.keep_endpoint(endpoint.clone())?;
        Ok(endpoint)
    }
}

/// Publishes an event, waits until it has arrived, and returns the id of its delivery.
async fn deliver(api: &Api, receiver: &DemoReceiver, endpoint: &DemoEndpoint) -> Result<String> {
    let begun = Instant::now();
    let event = json!({
        "event_type": "invoice.paid",
        "payload": { "invoice": "in_1001", "amount": 4200, "currency": "EUR" },
    });
    let event_id = api.publish(event).await?;
    screen::fact(
        "Published",
        format_args!("invoice.paid    event {event_id}"),
    );
    receiver.wait_for_event(&event_id, ARRIVAL_TIMEOUT).await?;
    let elapsed_ms = begun.elapsed().as_millis();
    let delivery_id = api.find_delivery(&endpoint.endpoint_id, &event_id).await?;
    api.wait_until_delivered(&delivery_id).await?;
    screen::fact(
        "Delivered",
        format_args!("{elapsed_ms} ms after publishing    delivery {delivery_id}"),
    );
    Ok(delivery_id)
}

/// Replays and redelivers a delivery, as a check of the whole.
async fn repeat(api: &Api, endpoint: &DemoEndpoint, delivery_id: &str) -> Result<()> {
    let replay_id = api.replay(delivery_id).await?;
    api.wait_until_delivered(&replay_id).await?;
    screen::fact("Replayed", format_args!("delivery {replay_id}"));
    let duration_ms = api.redeliver(&endpoint.endpoint_id, delivery_id).await?;
    screen::fact(
        "Redelivered",
        format_args!("the receiver answered 200 in {duration_ms} ms"),
    );
    Ok(())
}
